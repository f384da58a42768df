// What the page knows and what the reader has chosen; everything shown follows from these signals.

import { computed, effect, signal } from "@preact/signals";
import * as api from "./api";
import type { Answer, CaseFacts, Counts, Dispute, Given, Session, SlideFacts, WorkRow } from "./api";
import { HARD, IN_HOTSPOT, nearest, NO_P, unpack, type Figures } from "./figures";
import { dropLastUnsent, enqueue, held, openQueue, reason, waiting, type Waiting } from "./queue";

export type Source = "worklist" | "all" | "disputes";
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
export interface Filters {
  cls: number; // 0: any
  hard: boolean;
  hotspot: boolean;
  stratum: number; // 0: any, else CERTAIN or RANDOM
  unanswered: boolean;
  thisSlide: boolean;
}
export interface OpenSlide {
  slide: number;
  facts: SlideFacts;
  figures: Figures;
}
export interface Rows {
  length: number;
  at(index: number): WorkRow;
}

export const NO_FILTERS: Filters = { cls: 0, hard: false, hotspot: false, stratum: 0, unanswered: false, thisSlide: false };
const POLL_MS = 2_500;
const MERGE_UM = 7.5; // closer figures are one, as in counting

export const session = signal<Session | null>(null);
export const reader = signal<string | null>(null);
export const slide = signal<OpenSlide | null>(null);
export const slideProblem = signal<string | null>(null);
export const worklist = signal<WorkRow[]>([]);
export const answers = signal<Given[]>([]);
export const disputes = signal<Dispute[]>([]);
export const counts = signal<Counts | null>(null);
export const source = signal<Source>("worklist");
export const filters = signal<Filters>(NO_FILTERS);
export const selection = signal<Selection | null>(null);
export const caseFacts = signal<CaseFacts | null>(null);
export const notice = signal<{ text: string; bad: boolean } | null>(null);
export const showMarks = signal(true);
export const fatal = signal<string | null>(null);

const keyOf = (one: { slide: number; figure: number }): string => `${one.slide}:${one.figure}`;
const isFigure = (one: Selection): one is Chosen => "figure" in one;

/** Own answers by figure; decisions on their way count as given, so that nothing flickers. */
export const mine = computed(() => {
  const found = new Map<string, Answer>();
  for (const one of answers.value) {
    if (one.reader === reader.value && one.figure !== null) found.set(`${one.slide}:${one.figure}`, one.answer);
  }
  return found;
});
export const pending = computed(() => {
  const found = new Map<string, Answer>();
  for (const { post } of waiting.value) {
    const { slide: number, figure, answer, reader: name } = post.body as unknown as Given;
    if (post.path === "/api/answers" && name === reader.value) found.set(`${number}:${figure}`, answer);
  }
  return found;
});
export const added = computed(() => answers.value.filter((one) => one.figure === null));
export const nAnswered = computed(() => worklist.value.filter((row) => mine.value.has(keyOf(row))).length);

const baseRows = computed<Rows>(() => {
  if (source.value === "worklist") return listRows(worklist.value);
  if (source.value === "disputes") return listRows(disputedFigures());
  const open = slide.value;
  if (open === null) return listRows([]);
  const { figures } = open;
  return {
    length: figures.n,
    at: (k) => figureRow(open, k),
  };
});

export const rows = computed<Rows>(() => {
  const base = baseRows.value;
  const chosen: number[] = [];
  for (let k = 0; k < base.length; k++) if (passes(base.at(k))) chosen.push(k);
  return { length: chosen.length, at: (index) => base.at(chosen[index]!) };
});

/** Which figures of the open slide the filters leave; null where they leave all. */
export const shownMarks = computed<Uint8Array | null>(() => {
  const open = slide.value;
  if (open === null || filters.value === NO_FILTERS) return null;
  const { figures } = open;
  const shown = new Uint8Array(figures.n);
  for (let k = 0; k < figures.n; k++) {
    shown[k] = passes(figureRow(open, k)) ? 1 : 0;
  }
  return shown;
});

function figureRow({ slide: number, figures }: OpenSlide, k: number): WorkRow {
  const { x, y, p, cls, flags } = figures;
  return { slide: number, figure: k, cls: cls[k]!, flags: flags[k]!, p: p[k]!, x: x[k]!, y: y[k]! };
}

const chosen = ({ slide: number, figure, x, y }: Chosen): Chosen => ({ slide: number, figure, x, y });

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

function passes(row: WorkRow): boolean {
  const { cls, hard, hotspot, stratum, unanswered, thisSlide } = filters.value;
  return (
    (cls === 0 || row.cls === cls) &&
    (!hard || (row.flags & HARD) !== 0) &&
    (!hotspot || (row.flags & IN_HOTSPOT) !== 0) &&
    (stratum === 0 || (row.flags & stratum) !== 0) &&
    (!unanswered || !mine.value.has(keyOf(row))) &&
    (!thisSlide || row.slide === slide.value?.slide)
  );
}

export const position = computed(() => {
  const now = selection.value;
  if (now === null || !isFigure(now)) return -1;
  const list = rows.value;
  for (let k = 0; k < list.length; k++) {
    const row = list.at(k);
    if (row.figure === now.figure && row.slide === now.slide) return k;
  }
  return -1;
});

// --- opening ---------------------------------------------------------------------------------------------------------

export async function start(): Promise<void> {
  try {
    session.value = await api.getSession();
  } catch (error) {
    fatal.value = String((error as Error).message);
    return;
  }
  const { review, reader: given } = session.value;
  const name = given ?? localStorage.getItem(`wsiamf:${review}:reader`);
  if (name === null) return;
  try {
    await takeReader(name);
  } catch (error) {
    say((error as Error).message, true); // and the page asks for a name
  }
}

export async function takeReader(name: string): Promise<void> {
  const now = session.value!;
  const list = await api.getWorklist(name); // which the server refuses to a name that is none
  localStorage.setItem(`wsiamf:${now.review}:reader`, name);
  reader.value = name;
  revision = -1;
  worklist.value = list.rows.map(([number, figure, cls, flags, p, x, y]) => ({ slide: number, figure, cls, flags, p, x, y }));
  await refreshQuietly();
  openQueue(now.review, now.blinded ? name : null, kept, refused);
  const first = worklist.value.find((row) => !mine.value.has(keyOf(row))) ?? worklist.value[0];
  if (first !== undefined) select(chosen(first));
  else if (now.slides.length > 0) void open(0);
}

let opening = 0;
const recent = new Map<number, OpenSlide>();
const MOST_RECENT = 4;

/** Open a slide; what was asked for last wins. */
export async function open(number: number): Promise<void> {
  if (slide.value?.slide === number) return;
  const turn = ++opening;
  slideProblem.value = null;
  try {
    const found = recent.get(number) ?? (await load(number));
    if (turn === opening) slide.value = found;
  } catch (error) {
    if (turn !== opening) return;
    slide.value = null;
    slideProblem.value = (error as Error).message;
  }
}

async function load(number: number): Promise<OpenSlide> {
  const [facts, packed] = await Promise.all([api.getSlide(number), api.getFigures(number)]);
  const found = { slide: number, facts, figures: unpack(packed) };
  recent.set(number, found);
  if (recent.size > MOST_RECENT) recent.delete(recent.keys().next().value!);
  return found;
}

let revision = -1;
/** Decisions that the server has said to have; a list that was asked for before the last of them may lack it. */
let nKept = 0;

/** Fetch what others, or this reader in another browser, have answered since. */
export async function refresh(): Promise<void> {
  const name = reader.value;
  if (name === null) return;
  const before = nKept;
  const found = await api.getAnswers(name, revision);
  if (found.answers === undefined || name !== reader.value) return;
  if (before !== nKept || found.revision < revision) return; // overtaken: another refresh brings what is new
  answers.value = found.answers;
  revision = found.revision;
  if (!session.value!.blinded) await refreshShared();
}

async function refreshShared(): Promise<void> {
  const [now, list] = await Promise.all([api.getCounts(), api.getDisputes()]);
  counts.value = now;
  disputes.value = list.disputes;
}

export function poll(): void {
  setInterval(() => {
    if (document.visibilityState === "visible" && waiting.value.length === 0) {
      refresh().then(
        () => (held.value = null),
        (error: unknown) => {
          if (error instanceof api.ServerError && (error.status === 0 || error.status === 403)) {
            held.value = reason(error);
          }
        },
      );
    }
  }, POLL_MS);
}

// --- choosing --------------------------------------------------------------------------------------------------------

let shownSince = performance.now();

export function select(one: Selection): void {
  selection.value = one;
  shownSince = performance.now();
  void open(one.slide);
}

effect(() => {
  const now = selection.value;
  caseFacts.value = null;
  if (now === null || !isFigure(now)) return;
  api.getCase(now).then(
    (facts) => {
      if (selection.value === now) caseFacts.value = facts;
    },
    (error: unknown) => say(String((error as Error).message), true),
  );
});

/** Go through the list; the filters decide what is met, not where one is. */
export function step(by: 1 | -1, unansweredOnly = false): boolean {
  const now = selection.value;
  const base = baseRows.value;
  let at = -1;
  if (now !== null && isFigure(now)) {
    for (let k = 0; k < base.length && at < 0; k++) {
      const row = base.at(k);
      if (row.figure === now.figure && row.slide === now.slide) at = k;
    }
  }
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

export function chooseAt(x: number, y: number, within: number): void {
  const open = slide.value;
  if (open === null) return;
  const near = added.value.find((one) => one.slide === open.slide && Math.hypot(one.x - x, one.y - y) <= within);
  const found = nearest(open.figures, x, y, within, shownMarks.value);
  if (found >= 0) select(chosen(figureRow(open, found)));
  else if (near !== undefined) select({ slide: open.slide, x: near.x, y: near.y, draft: false });
}

/** Mark a figure that the points missed; it is kept once it has a class. */
export function mark(x: number, y: number): void {
  const open = slide.value;
  if (open === null) return;
  const { width, height, mpp } = open.facts;
  if (x < 0 || y < 0 || x >= width || y >= height) return say("The cursor is not on the slide", true);
  const there = nearest(open.figures, x, y, MERGE_UM / mpp, null);
  if (there >= 0) {
    select(chosen(figureRow(open, there)));
    return say("There is a figure already; it is chosen now", false);
  }
  select({ slide: open.slide, x, y, draft: true });
  say("Missed figure: A or N keeps it, Esc drops it", false);
}

export function dropMark(): boolean {
  const now = selection.value;
  if (now === null || isFigure(now) || !now.draft) return false;
  notice.value = null;
  if (!step(1)) selection.value = null;
  return true;
}

// --- deciding --------------------------------------------------------------------------------------------------------

export function answer(given: Answer): void {
  const now = selection.value;
  const name = reader.value;
  if (now === null || name === null) return;
  const seconds = Math.round((performance.now() - shownSince) / 10) / 100;
  const common = { reader: name, slide: now.slide, answer: given, seconds };
  if (!isFigure(now)) {
    if (now.draft && given !== "AMF" && given !== "NMF") return say("A missed figure is AMF or NMF", true);
    enqueue({ path: "/api/added", body: { ...common, x: now.x, y: now.y } }, { x: now.x, y: now.y });
    return;
  }
  const uuid = caseFacts.value?.uuid;
  if (uuid === undefined) return say("The case is still being loaded", true);
  if (pending.value.has(keyOf(now))) return; // a key held down
  enqueue({ path: "/api/answers", body: { ...common, figure: now.figure, uuid } }, { x: now.x, y: now.y });
}

/** Whether an answer would be taken now: the case is loaded and no decision is on its way. */
export const isReady = (): boolean => waiting.value.length === 0 && (selection.value === null || !isFigure(selection.value) || caseFacts.value !== null);

async function kept(one: Waiting, id: number): Promise<void> {
  nKept++;
  const { slide: number, figure, x, y, answer: what } = one.post.body as unknown as Given;
  if (one.post.path === "/api/withdraw") {
    await refreshQuietly();
    return;
  }
  const name = String(one.post.body["reader"]);
  const now = selection.value;
  if (one.post.path === "/api/answers") {
    const given: Given = { id, slide: number, figure, kind: "figure", ...one.at, reader: name, answer: what };
    answers.value = [...answers.value.filter((old) => !isSame(old, given)), given];
    const isShown = now !== null && isFigure(now) && now.slide === number && now.figure === figure;
    if (isShown && name === reader.value) advance();
  } else if (now !== null && !isFigure(now) && now.slide === number && now.x === x && now.y === y) {
    if (now.draft) select({ slide: number, x, y, draft: false });
    say(`Kept as a missed figure: ${what}`, false);
  }
  void refreshQuietly();
}

/** This reader's own answer about an added figure, if there is one. */
export const ownAt = (one: { slide: number; x: number; y: number }): Given | null =>
  added.value.find(
    (given) => given.reader === reader.value && given.slide === one.slide && Math.hypot(given.x - one.x, given.y - one.y) < 1,
  ) ?? null;

const isSame = (old: Given, now: Given): boolean =>
  old.reader === now.reader && old.slide === now.slide && old.figure !== null && old.figure === now.figure;

function advance(): void {
  if (position.value < 0 && !filters.value.unanswered) return; // chosen freely: stay
  if (!step(1, true)) say(nAnswered.value >= worklist.value.length ? "Every case is answered" : "End of the list", false);
}

async function refreshQuietly(): Promise<void> {
  try {
    await refresh();
  } catch {
    // The next poll says so if the connection is gone; the decision itself is kept.
  }
}

function refused(_one: Waiting, why: string): void {
  say(`Not kept: ${why}`, true);
}

/** Take back this reader's latest decision and show its figure again. */
export function undo(): void {
  const name = reader.value;
  if (name === null) return;
  if (dropLastUnsent(name)) return say("Taken back before it was sent", false);
  if (waiting.value.length > 0) return say("A decision is on its way; try again in a moment", false);
  const own = answers.value.filter((one) => one.reader === name);
  const last = own.reduce<Given | null>((latest, one) => (latest === null || one.id > latest.id ? one : latest), null);
  if (last === null) return say("Nothing to undo", false);
  enqueue({ path: "/api/withdraw", body: { reader: name, id: last.id } }, { x: last.x, y: last.y });
  if (last.figure !== null) select({ slide: last.slide, figure: last.figure, x: last.x, y: last.y });
  say(`Taken back: ${last.answer}`, false);
}

// --- talking ---------------------------------------------------------------------------------------------------------

let noticeTimer: ReturnType<typeof setTimeout> | undefined;

export function say(text: string, bad: boolean): void {
  clearTimeout(noticeTimer);
  notice.value = { text, bad };
  noticeTimer = setTimeout(() => (notice.value = null), bad ? 8_000 : 4_000);
}

export { chosen, isFigure, keyOf };
