// The lists, the filters over them, and the way through them.

import { computed, signal } from "@preact/signals";
import type { WorkRow } from "../api";
import { HARD, IN_HOTSPOT, NO_P } from "../figures";
import { disputes, keyOf, mine, worklist } from "./known";
import { chosen, isFigure, lastPlace, select, selection } from "./selection";
import { figureRow, slide } from "./slides";

export type Source = "worklist" | "all" | "disputes";
export interface Filters {
  cls: number; // 0: any
  hard: boolean;
  hotspot: boolean;
  stratum: number; // 0: any, else CERTAIN or RANDOM
  unanswered: boolean;
  thisSlide: boolean;
}
export interface Rows {
  length: number;
  at(index: number): WorkRow;
}

export const NO_FILTERS: Filters = { cls: 0, hard: false, hotspot: false, stratum: 0, unanswered: false, thisSlide: false };

export const source = signal<Source>("worklist");
export const filters = signal<Filters>(NO_FILTERS);
export const showMarks = signal(true);

/** Disputes are few and have no chips above them, so that no filter acts on them unseen. */
export const active = computed<Filters>(() => (source.value === "disputes" ? NO_FILTERS : filters.value));

const baseRows = computed<Rows>(() => {
  if (source.value === "worklist") return listRows(worklist.value);
  if (source.value === "disputes") return listRows(disputedFigures());
  const open = slide.value;
  if (open === null) return listRows([]);
  return { length: open.figures.n, at: (k) => figureRow(open, k) };
});

export const rows = computed<Rows>(() => {
  const base = baseRows.value;
  const left: number[] = [];
  for (let k = 0; k < base.length; k++) if (passes(base.at(k))) left.push(k);
  return { length: left.length, at: (index) => base.at(left[index]!) };
});

/** Which figures of the open slide the filters leave; null where they leave all. */
export const shownMarks = computed<Uint8Array | null>(() => {
  const open = slide.value;
  if (open === null || active.value === NO_FILTERS) return null;
  const shown = new Uint8Array(open.figures.n);
  for (let k = 0; k < shown.length; k++) shown[k] = passes(figureRow(open, k)) ? 1 : 0;
  return shown;
});

/** Of the chosen figure among the rows; -1 where it is none of them. */
export const position = computed(() => {
  const now = selection.value;
  return now === null || !isFigure(now) ? -1 : indexOf(rows.value, now);
});

function disputedFigures(): WorkRow[] {
  const found: WorkRow[] = [];
  for (const { slide: number, figure, x, y } of disputes.value) {
    if (figure !== null) found.push({ slide: number, figure, cls: 0, flags: 0, p: NO_P, x, y });
  }
  return found;
}

function listRows(list: WorkRow[]): Rows {
  return { length: list.length, at: (index) => list[index]! };
}

function indexOf(list: Rows, one: { slide: number; figure: number }): number {
  for (let k = 0; k < list.length; k++) {
    const row = list.at(k);
    if (row.figure === one.figure && row.slide === one.slide) return k;
  }
  return -1;
}

function passes(row: WorkRow): boolean {
  const { cls, hard, hotspot, stratum, unanswered, thisSlide } = active.value;
  return (
    (cls === 0 || row.cls === cls) &&
    (!hard || (row.flags & HARD) !== 0) &&
    (!hotspot || (row.flags & IN_HOTSPOT) !== 0) &&
    (stratum === 0 || (row.flags & stratum) !== 0) &&
    (!unanswered || !mine.value.has(keyOf(row))) &&
    (!thisSlide || row.slide === slide.value?.slide)
  );
}

/** Go through the list; the filters decide what is met, not where one is. */
export function step(by: 1 | -1, unansweredOnly = false): boolean {
  const base = baseRows.value;
  const from = lastPlace();
  const at = from === null ? -1 : indexOf(base, from);
  for (let k = at < 0 && by < 0 ? base.length - 1 : at + by; k >= 0 && k < base.length; k += by) {
    const row = base.at(k);
    if (passes(row) && !(unansweredOnly && mine.value.has(keyOf(row)))) {
      select(chosen(row));
      return true;
    }
  }
  return false;
}

export function jump(index: number): void {
  const list = rows.value;
  if (list.length === 0) return;
  select(chosen(list.at(Math.min(Math.max(index, 0), list.length - 1))));
}
