// Decisions: given, kept by the server, taken back.

import { isOutdated, type Answer, type Given } from "../api";
import { dropLastUnsent, enqueue, held, waiting, type About, type Waiting } from "../queue";
import {
  addKept,
  allAt,
  answers,
  dropWithdrawn,
  fetchAnswers,
  fetchShared,
  keyOf,
  lacksWithdrawal,
  nAnswered,
  noteKept,
  pending,
  reader,
  session,
  worklist,
} from "./known";
import { say } from "./notice";
import { active, position, step } from "./rows";
import { caseFacts, isFigure, OUTDATED, secondsShown, select, selection, unseen } from "./selection";

/** Whether to take an answer back once the list has come. */
let undoNext = false;

export function forgetUndo(): void {
  undoNext = false;
}

/** Fetch what is new, and take back what waited for it. */
export async function refresh(): Promise<void> {
  if (!(await fetchAnswers())) return;
  if (undoNext) undo();
  if (!session.value!.blinded) await fetchShared();
}

export async function refreshQuietly(): Promise<void> {
  try {
    await refresh();
  } catch {
    // The next poll says so if the connection is gone; the decision itself is kept.
  }
}

export function answer(given: Answer): void {
  const now = selection.value;
  const name = reader.value;
  if (now === null || name === null) return;
  undoNext = false;
  const why = unseen(now);
  if (why !== null) return say(why, true);
  const { id, mark } = session.value!.slides[now.slide]!;
  const common = { reader: name, slide: id, answer: given, seconds: secondsShown() };
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

export async function kept({ post, about }: Waiting, id: number): Promise<void> {
  noteKept(id);
  if (post.path === "/api/withdraw") {
    dropWithdrawn(post.body.reader, post.body.id, id);
    await refreshQuietly();
    return;
  }
  if (about !== null) {
    const { reader: name, answer: what } = post.body;
    addKept({ id, kind: about.figure === null ? "added" : "figure", ...about, reader: name, answer: what });
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

function advance(): void {
  if (position.value < 0 && !active.value.unanswered) return; // chosen freely: stay
  if (!step(1, true)) say(nAnswered.value >= worklist.value.length ? "Every case is answered" : "End of the list", false);
}

export function refused(_one: Waiting, why: string): void {
  undoNext = false;
  say(`Not kept: ${why}`, true);
}

/** Take back this reader's latest decision and show its figure again. */
export function undo(): void {
  const name = reader.value;
  if (name === null) return;
  undoNext = false;
  if (dropLastUnsent(name)) return say("Taken back before it was sent", false);
  if (isOutdated.value) return say(OUTDATED, true);
  if (waiting.value.length > 0 && held.value !== null) {
    return say("It may be kept already: undo it when the server is back, or give another answer", true);
  }
  if (waiting.value.length > 0 || lacksWithdrawal()) {
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
