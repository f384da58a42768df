// What the reader has chosen, and whether enough of it is shown to judge it.

import { computed, effect, signal } from "@preact/signals";
import * as api from "../api";
import type { CaseFacts } from "../api";
import { session } from "./known";
import { notice, say } from "./notice";
import { isLost, openSlide, slideProblem, wanted } from "./slides";

export interface Added {
  slide: number;
  x: number;
  y: number;
  draft: boolean; // marked by the reader and not yet classed
}
export interface Chosen extends api.Figure {
  x: number;
  y: number;
}
export type Selection = Chosen | Added;

export const selection = signal<Selection | null>(null);

let shownSince = performance.now();
let lastFigure: Chosen | null = null;

export const isFigure = (one: Selection): one is Chosen => "figure" in one;
export const chosen = ({ slide: number, figure, x, y }: Chosen): Chosen => ({ slide: number, figure, x, y });

export function select(one: Selection): void {
  if (isFigure(one)) lastFigure = one;
  selection.value = one;
  shownSince = performance.now();
  void openSlide(one.slide);
}

/** Choose a slide and no figure on it. */
export function browse(number: number): void {
  selection.value = null;
  lastFigure = null;
  void openSlide(number);
}

export function dropMark(): boolean {
  const now = selection.value;
  if (now === null || isFigure(now) || !now.draft) return false;
  notice.value = null;
  if (lastFigure !== null) select(lastFigure);
  else selection.value = null;
  return true;
}

/** The figure from where the list goes on: after a missed figure, the one before it. */
export function lastPlace(): Chosen | null {
  const now = selection.value;
  return now !== null && !isFigure(now) ? lastFigure : now;
}

/** To hundredths. */
export const secondsShown = (): number => Math.round((performance.now() - shownSince) / 10) / 100;

// --- what is shown of it ---------------------------------------------------------------------------------------------

/** Of the chosen figure; "lost": the server was away, so that they are asked for again; "none" also where it refused. */
const facts = signal<CaseFacts | "coming" | "lost" | "none">("none");
export const caseFacts = computed<CaseFacts | null>(() => (typeof facts.value === "string" ? null : facts.value));

export const nTries = signal(0); // changes when pictures that did not come are to be asked for again
/** What became of the crop that was last waited for. */
let crop: { address: string; fate: "shown" | "lost" } | null = null;

/** A crop that comes when another is waited for already is of no account. */
export function noteCrop(address: string, fate: "shown" | "lost"): void {
  if (selection.value !== null && address === cropAddress(selection.value)) crop = { address, fate };
}

const cropAddress = (now: Selection): string => api.pictureAddress(now, "crop", session.value!.slides);
const cropFate = (now: Selection): "coming" | "shown" | "lost" => (crop?.address === cropAddress(now) ? crop.fate : "coming");

export const OUTDATED = "The results have changed: reload the page to go on";

/** Why the selection cannot be judged by what is shown of it; null where it can. A reader's own mark is seen on the slide. */
export function unseen(now: Selection): string | null {
  if (api.isOutdated.value) return OUTDATED;
  if (slideProblem.value !== null) return "The slide cannot be shown: no answer is taken on what nobody sees";
  if (!isFigure(now) && now.draft) return null;
  if (cropFate(now) !== "shown") return "The crop is not shown yet: no answer is taken before it is";
  return null;
}

effect(() => loadCase(selection.value));

function loadCase(now: Selection | null): void {
  if (now === null || !isFigure(now)) {
    facts.value = "none";
    return;
  }
  facts.value = "coming";
  api.getCase(now).then(
    (found) => {
      if (selection.value === now) facts.value = found;
    },
    (error: unknown) => {
      if (selection.value !== now) return;
      facts.value = isLost(error) ? "lost" : "none";
      say(String((error as Error).message), true);
    },
  );
}

/** Ask again for what did not come while the server was away. */
export function askAgain(): void {
  if (slideProblem.value?.isLost === true) void openSlide(wanted.value!);
  const now = selection.value;
  const isCaseLost = facts.value === "lost";
  const isCropLost = now !== null && slideProblem.value === null && cropFate(now) === "lost";
  if (isCaseLost) loadCase(now);
  if (isCropLost) crop = null;
  if (isCaseLost || isCropLost) nTries.value++;
}
