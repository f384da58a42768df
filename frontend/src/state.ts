// What the page knows and what the reader has chosen; everything shown follows from these signals.

import { computed, effect, signal } from "@preact/signals";
import * as api from "./api";
import type { Answer, CaseFacts, Counts, Dispute, Given, Session, SlideFacts, WorkRow } from "./api";
import { HARD, IN_HOTSPOT, nearest, NO_P, unpack, type Figures } from "./figures";
import { dropLastUnsent, enqueue, held, openQueue, reason, tryNow, waiting, type About, type Waiting } from "./queue";

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
export const wanted = signal<number | null>(null); // the slide asked for last, which may be still to come
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
export const nTries = signal(0); // changes when pictures that did not come are to be asked for again
export const isEntering = signal(false); // a known reader's worklist is on its way
export const nameProblem = signal<string | null>(null); // why a name was refused
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
  for (const { post, about } of waiting.value) {
    if (post.path !== "/api/answers" || post.body.reader !== reader.value || about === null) continue;
    found.set(`${about.slide}:${about.figure}`, post.body.answer);
  }
  return found;
});
export const added = computed(() => answers.value.filter((one) => one.figure === null));
export const nAnswered = computed(() => worklist.value.filter((row) => mine.value.has(keyOf(row))).length);

/** Disputes are few and have no chips above them, so that no filter acts on them unseen. */
const active = computed<Filters>(() => (source.value === "disputes" ? NO_FILTERS : filters.value));

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
  if (open === null || active.value === NO_FILTERS) return null;
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
  isEntering.value = true;
  try {
    await takeReader(name);
  } catch (error) {
    nameProblem.value = (error as Error).message; // and the page asks for a name
  } finally {
    isEntering.value = false;
  }
}

export async function takeReader(name: string): Promise<void> {
  const now = session.value!;
  nameProblem.value = null;
  const list = await api.getWorklist(name); // which the server refuses to a name that is none
  localStorage.setItem(`wsiamf:${now.review}:reader`, name);
  reader.value = name;
  revision = -1;
  lastKept = lastWithdrawn = 0; // blinded, every reader's answers are numbered apart
  undoNext = false;
  worklist.value = list.rows.map(([number, figure, cls, flags, p, x, y]) => ({ slide: number, figure, cls, flags, p, x, y }));
  await refreshQuietly();
  openQueue(now.review, now.blinded ? name : null, kept, refused);
  const first = worklist.value.find((row) => !mine.value.has(keyOf(row))) ?? worklist.value[0];
  if (first !== undefined) select(chosen(first));
  else if (now.slides.length > 0) void open(0);
}

let opening = 0;
let isSlideLost = false; // the slide that is wanted did not come, since the server was away
const isLost = (error: unknown): boolean => error instanceof api.ServerError && error.status === 0;
const recent = new Map<number, OpenSlide>();
const MOST_RECENT = 4;

/** Open a slide; what was asked for last wins. */
export async function open(number: number): Promise<void> {
  const turn = ++opening; // also where it is open already: what was asked for before must not replace it
  slideProblem.value = null;
  isSlideLost = false;
  wanted.value = number;
  if (slide.value?.slide === number) return;
  try {
    const found = recent.get(number) ?? (await load(number));
    if (turn === opening) slide.value = found;
  } catch (error) {
    if (turn !== opening) return;
    slide.value = null;
    slideProblem.value = (error as Error).message;
    isSlideLost = isLost(error);
  }
}

/** Choose a slide and no figure on it. */
export function browse(number: number): void {
  selection.value = null;
  lastFigure = null;
  void open(number);
}

async function load(number: number): Promise<OpenSlide> {
  const [facts, packed] = await Promise.all([api.getSlide(number), api.getFigures(number)]);
  const found = { slide: number, facts, figures: unpack(packed) };
  recent.set(number, found);
  if (recent.size > MOST_RECENT) recent.delete(recent.keys().next().value!);
  return found;
}

let revision = -1;
/** Number of the last decision that the server has said to have; a list of an earlier revision lacks it. */
let lastKept = 0;
/** Number of the last withdrawal: what stands where an answer was taken back is known from its revision on. */
let lastWithdrawn = 0;
/** Whether to take an answer back once the list has come. */
let undoNext = false;

/** Fetch what others, or this reader in another browser, have answered since. */
export async function refresh(): Promise<void> {
  const name = reader.value;
  if (name === null) return;
  const found = await api.getAnswers(name, revision);
  if (found.answers === undefined || name !== reader.value || api.isOutdated.value) return;
  if (found.revision < Math.max(revision, lastKept)) return; // overtaken: another refresh brings what is new
  answers.value = found.answers;
  revision = found.revision;
  if (undoNext) undo();
  if (!session.value!.blinded) await refreshShared();
}

async function refreshShared(): Promise<void> {
  const [now, list] = await Promise.all([api.getCounts(), api.getDisputes()]);
  counts.value = now;
  disputes.value = list.disputes;
}

let isLooking = false;

/** Look for what is new, unless that is being done; what did not come while the server was away is asked for again. */
async function look(): Promise<void> {
  if (isLooking) return;
  isLooking = true;
  try {
    await refresh();
    if (waiting.value.length === 0) held.value = null; // else the queue says when what waits goes on
    if (isSlideLost) void open(wanted.value!);
    if (isCaseLost || (isCropLost && slideProblem.value === null)) {
      if (isCaseLost) loadCase(selection.value);
      isCropLost = false;
      nTries.value++;
    }
  } catch (error) {
    undoNext = false;
    if (error instanceof api.ServerError && (error.status === 0 || error.status === 403)) held.value = reason(error);
  } finally {
    isLooking = false;
  }
}

export function poll(): void {
  setInterval(() => {
    if (document.visibilityState === "visible" && waiting.value.length === 0) void look();
  }, POLL_MS);
}

/** Try at once what is tried again and again by itself. */
export function tryAgain(): void {
  if (waiting.value.length > 0) tryNow();
  else void look();
}

// --- choosing --------------------------------------------------------------------------------------------------------

let shownSince = performance.now();
let lastFigure: Chosen | null = null; // from where the list goes on after a missed figure

export function select(one: Selection): void {
  if (isFigure(one)) lastFigure = one;
  selection.value = one;
  shownSince = performance.now();
  void open(one.slide);
}

let isCaseLost = false; // the facts of the case did not come, since the server was away
let isCropLost = false; // its picture did not come
let cropSeen: string | null = null; // address of the crop that came last

export function sawCrop(address: string): void {
  cropSeen = address;
  isCropLost = false;
}

export function missedCrop(): void {
  isCropLost = true;
}

const OUTDATED = "The results have changed: reload the page to go on";

/** Why the selection cannot be judged by what is shown of it; null where it can. A reader's own mark is seen on the slide. */
function unseen(now: Selection): string | null {
  if (api.isOutdated.value) return OUTDATED;
  if (slideProblem.value !== null) return "The slide cannot be shown: no answer is taken on what nobody sees";
  if (!isFigure(now) && now.draft) return null;
  if (cropSeen !== api.pictureAddress(now, "crop", session.value!.slides)) return "The crop is not shown yet: no answer is taken before it is";
  return null;
}

effect(() => loadCase(selection.value));

function loadCase(now: Selection | null): void {
  caseFacts.value = null;
  isCaseLost = isCropLost = false;
  if (now === null || !isFigure(now)) return;
  api.getCase(now).then(
    (facts) => {
      if (selection.value === now) caseFacts.value = facts;
    },
    (error: unknown) => {
      if (selection.value !== now) return;
      isCaseLost = isLost(error);
      say(String((error as Error).message), true);
    },
  );
}

/** Go through the list; the filters decide what is met, not where one is. */
export function step(by: 1 | -1, unansweredOnly = false): boolean {
  const now = selection.value;
  const base = baseRows.value;
  const from = now !== null && !isFigure(now) ? lastFigure : now;
  let at = -1;
  if (from !== null) {
    for (let k = 0; k < base.length && at < 0; k++) {
      const row = base.at(k);
      if (row.figure === from.figure && row.slide === from.slide) at = k;
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
  const away = (one: { x: number; y: number }): number => Math.hypot(one.x - x, one.y - y);
  const k = nearest(open.figures, x, y, within, shownMarks.value);
  let best: Selection | null = k < 0 ? null : chosen(figureRow(open, k));
  for (const one of added.value) {
    if (one.slide !== open.slide || away(one) > (best === null ? within : away(best))) continue;
    best = { slide: open.slide, x: one.x, y: one.y, draft: false };
  }
  if (best !== null) select(best);
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
  if (lastFigure !== null) select(lastFigure);
  else selection.value = null;
  return true;
}

// --- deciding --------------------------------------------------------------------------------------------------------

export function answer(given: Answer): void {
  const now = selection.value;
  const name = reader.value;
  if (now === null || name === null) return;
  undoNext = false;
  const why = unseen(now);
  if (why !== null) return say(why, true);
  const seconds = Math.round((performance.now() - shownSince) / 10) / 100;
  const { id, mark } = session.value!.slides[now.slide]!;
  const common = { reader: name, slide: id, answer: given, seconds };
  const about = { slide: now.slide, figure: isFigure(now) ? now.figure : null, x: now.x, y: now.y };
  if (!isFigure(now)) {
    if (now.draft && given !== "AMF" && given !== "NMF") return say("A missed figure is AMF or NMF", true);
    enqueue({ path: "/api/added", body: { ...common, mark, x: now.x, y: now.y } }, about);
    return;
  }
  const uuid = caseFacts.value?.uuid;
  if (uuid === undefined) return say("The case is still being loaded", true);
  if (pending.value.get(keyOf(now)) === given) return; // it is on its way
  enqueue({ path: "/api/answers", body: { ...common, uuid } }, about);
}

/** Whether an answer would be taken now: the case is loaded and shown and no decision is on its way. */
export function isReady(): boolean {
  const now = selection.value;
  return waiting.value.length === 0 && (now === null || (unseen(now) === null && (!isFigure(now) || caseFacts.value !== null)));
}

async function kept({ post, about }: Waiting, id: number): Promise<void> {
  lastKept = Math.max(lastKept, id);
  if (post.path === "/api/withdraw") {
    const { id: gone, reader: name } = post.body;
    answers.value = answers.value.filter((old) => old.reader !== name || old.id !== gone);
    lastWithdrawn = id;
    await refreshQuietly();
    return;
  }
  if (about !== null) {
    const { reader: name, answer: what } = post.body;
    const given: Given = { id, kind: about.figure === null ? "added" : "figure", ...about, reader: name, answer: what };
    answers.value = [...answers.value.filter((old) => !isSame(old, given)), given];
    if (name === reader.value && isShown(about)) {
      if (about.figure !== null) advance();
      else {
        select({ slide: about.slide, x: about.x, y: about.y, draft: false });
        say(`Kept as a missed figure: ${what}`, false);
      }
    }
  }
  void refreshQuietly();
}

function isShown({ slide: number, figure, x, y }: About): boolean {
  const now = selection.value;
  if (now === null || now.slide !== number) return false;
  return isFigure(now) ? now.figure === figure : figure === null && now.x === x && now.y === y;
}

/** What readers said of an added figure. */
const allAt = (one: { slide: number; x: number; y: number }): Given[] =>
  added.value.filter((given) => given.slide === one.slide && Math.hypot(given.x - one.x, given.y - one.y) < 1);

/** This reader's own answer about an added figure, if there is one. */
export const ownAt = (one: { slide: number; x: number; y: number }): Given | null =>
  allAt(one).find((given) => given.reader === reader.value) ?? null;

const isSame = (old: Given, now: Given): boolean =>
  old.reader === now.reader &&
  old.slide === now.slide &&
  old.figure === now.figure &&
  (now.figure !== null || Math.hypot(old.x - now.x, old.y - now.y) < 1);

function advance(): void {
  if (position.value < 0 && !active.value.unanswered) return; // chosen freely: stay
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
  undoNext = false;
  say(`Not kept: ${why}`, true);
}

/** Take back this reader's latest decision and show its figure again. */
export function undo(): void {
  const name = reader.value;
  if (name === null) return;
  undoNext = false;
  if (dropLastUnsent(name)) return say("Taken back before it was sent", false);
  if (api.isOutdated.value) return say(OUTDATED, true);
  if (waiting.value.length > 0 && held.value !== null) {
    return say("It may be kept already: undo it when the server is back, or give another answer", true);
  }
  if (waiting.value.length > 0 || revision < lastWithdrawn) {
    undoNext = true; // which answer is the latest is known in a moment
    return;
  }
  const own = answers.value.filter((one) => one.reader === name);
  const last = own.reduce<Given | null>((latest, one) => (latest === null || one.id > latest.id ? one : latest), null);
  if (last === null) return say("Nothing to undo", false);
  const { id, slide: number, figure, x, y } = last;
  enqueue({ path: "/api/withdraw", body: { reader: name, id } }, { slide: number, figure, x, y });
  if (figure !== null) select({ slide: number, figure, x, y });
  else select({ slide: number, x, y, draft: allAt(last).every((one) => one === last) }); // it stands where others added it too
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
