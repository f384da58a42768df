// The slide that is open, and the one that is asked for.

import { signal } from "@preact/signals";
import * as api from "../api";
import type { SlideFacts, WorkRow } from "../api";
import { unpack, type Figures } from "../figures";

export interface OpenSlide {
  slide: number;
  facts: SlideFacts;
  figures: Figures;
}
export interface SlideProblem {
  why: string;
  isLost: boolean; // the server was away, so that it is asked for again
}

export const wanted = signal<number | null>(null); // the slide asked for last, which may be still to come
export const slide = signal<OpenSlide | null>(null);
export const slideProblem = signal<SlideProblem | null>(null);

const MOST_RECENT = 4;
const recent = new Map<number, OpenSlide>();
let opening = 0;

export const isLost = (error: unknown): boolean => error instanceof api.ServerError && error.status === 0;

/** Open a slide; what was asked for last wins. */
export async function openSlide(number: number): Promise<void> {
  const turn = ++opening; // also where it is open already: what was asked for before must not replace it
  slideProblem.value = null;
  wanted.value = number;
  if (slide.value?.slide === number) return;
  try {
    const found = recent.get(number) ?? (await load(number));
    if (turn === opening) slide.value = found;
  } catch (error) {
    if (turn !== opening) return;
    slide.value = null;
    slideProblem.value = { why: (error as Error).message, isLost: isLost(error) };
  }
}

async function load(number: number): Promise<OpenSlide> {
  const [facts, packed] = await Promise.all([api.getSlide(number), api.getFigures(number)]);
  const found = { slide: number, facts, figures: unpack(packed) };
  recent.set(number, found);
  if (recent.size > MOST_RECENT) recent.delete(recent.keys().next().value!);
  return found;
}

export function figureRow({ slide: number, figures }: OpenSlide, k: number): WorkRow {
  const { x, y, p, cls, flags } = figures;
  return { slide: number, figure: k, cls: cls[k]!, flags: flags[k]!, p: p[k]!, x: x[k]!, y: y[k]! };
}
