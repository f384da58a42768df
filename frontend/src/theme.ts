// Light or dark as the system has it, unless the reader chose.

import { signal } from "@preact/signals";

const KEY = "wsiamf:theme";
const dark = matchMedia("(prefers-color-scheme: dark)");

export const isDark = signal(false);

export function applyTheme(): void {
  const chosen = localStorage.getItem(KEY);
  isDark.value = chosen === null ? dark.matches : chosen === "dark";
  document.documentElement.dataset["theme"] = isDark.value ? "dark" : "light";
}

export function toggleTheme(): void {
  localStorage.setItem(KEY, isDark.value ? "light" : "dark");
  applyTheme();
}

dark.addEventListener("change", applyTheme);
