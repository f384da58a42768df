// Names, keys and shapes of what a reader can say: the same in buttons, lists, legend and help.

import type { Answer } from "./api";
import { AMF, NMF } from "./figures";

export const ANSWER_WORDS: Record<Answer, { short: string; long: string; key: string }> = {
  AMF: { short: "AMF", long: "Atypical mitotic figure", key: "A" },
  NMF: { short: "NMF", long: "Normal mitotic figure", key: "N" },
  "non-mitotic": { short: "Not mitotic", long: "Not a mitotic figure", key: "X" },
  "cannot-tell": { short: "Cannot tell", long: "Cannot be told", key: "U" },
};

export type Shape = "AMF" | "NMF" | "figure" | "added" | "non-mitotic" | "cannot-tell";

export const shapeOf = (cls: number): Shape => (cls === AMF ? "AMF" : cls === NMF ? "NMF" : "figure");

/** The mark of a class as it is on the slide, so that colour is never the only sign. */
export function Mark({ shape }: { shape: Shape }) {
  return (
    <svg class={`mark mark-${shape}`} viewBox="0 0 16 16" aria-hidden="true">
      {shape === "AMF" && <path d="M8 1.5 14.5 8 8 14.5 1.5 8z" />}
      {(shape === "NMF" || shape === "figure") && <circle cx="8" cy="8" r="5.6" />}
      {shape === "added" && <path d="M14.2 8 11.1 13.4H4.9L1.8 8 4.9 2.6h6.2z" />}
      {shape === "non-mitotic" && <path d="M3 3 13 13M13 3 3 13" />}
      {shape === "cannot-tell" && <path d="M5.2 5.6c0-3.6 5.8-3.4 5.6 0-.1 2-2.8 1.9-2.8 4.4M8 13v.4" />}
    </svg>
  );
}

const ICONS = {
  plus: "M8 3v10M3 8h10",
  minus: "M3 8h10",
  whole: "M3 6V3h3M10 3h3v3M13 10v3h-3M6 13H3v-3",
  left: "M10 3 5 8l5 5",
  right: "M6 3l5 5-5 5",
  sun: "M8 5.2a2.8 2.8 0 1 0 0 5.6 2.8 2.8 0 0 0 0-5.6M8 1v1.6M8 13.4V15M1 8h1.6M13.4 8H15M3 3l1.2 1.2M11.8 11.8 13 13M13 3l-1.2 1.2M4.2 11.8 3 13",
  moon: "M13 9.6A5.6 5.6 0 0 1 6.4 3 5.6 5.6 0 1 0 13 9.6z",
  help: "M5.4 6c0-3.4 5.4-3.2 5.2 0-.1 1.9-2.6 1.8-2.6 4.1M8 13v.3",
};

/** Drawn here, so that no font has to hold it. */
export function Icon({ name }: { name: keyof typeof ICONS }) {
  return (
    <svg class="drawn" viewBox="0 0 16 16" aria-hidden="true">
      <path d={ICONS[name]} />
    </svg>
  );
}
