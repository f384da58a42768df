// What the page says in passing.

import { signal } from "@preact/signals";

export const notice = signal<{ text: string; bad: boolean } | null>(null);

let timer: ReturnType<typeof setTimeout> | undefined;

export function say(text: string, bad: boolean): void {
  clearTimeout(timer);
  notice.value = { text, bad };
  timer = setTimeout(() => (notice.value = null), bad ? 8_000 : 4_000);
}
