// What the server gives and takes. Places are level-0 px; a figure is told by the number of its slide and its row there.

import { signal } from "@preact/signals";

export type Answer = "AMF" | "NMF" | "non-mitotic" | "cannot-tell";
export const ANSWERS: readonly Answer[] = ["AMF", "NMF", "non-mitotic", "cannot-tell"];

export interface SlideEntry {
  id: string;
  name: string;
  mark: string;
  n_figures: number;
}

export interface Session {
  version: string;
  review: string;
  blinded: boolean;
  drawn: boolean; // whether a worklist was made, with its random sample
  redraw: string | null; // what draws the worklist anew, where the figures are others since
  reader: string | null;
  adjudicator: string | null;
  readers: string[];
  slides: SlideEntry[];
}

export interface Hotspot {
  rank: number | null;
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface SlideFacts {
  width: number;
  height: number;
  mpp: number;
  tile_px: number;
  first_level: number;
  last_level: number;
  tiles: string;
  crop_um: number;
  experts: string[];
  thresholds: { p_atypical: number | null; p_hard: number | null; experts: (number | null)[] };
  hotspots: Hotspot[];
  outlines: number[][][];
  outlines_status: string;
}

export interface Figure {
  slide: number;
  figure: number;
}

export interface WorkRow extends Figure {
  cls: number;
  flags: number;
  p: number;
  x: number;
  y: number;
}

export interface CaseFacts {
  uuid: string;
  candidate_id?: string;
  label?: string;
  p_atypical?: number | null;
  p_hard?: number | null;
  hard?: boolean | null;
  experts?: (number | null)[];
  reason?: string | null;
  rank?: number | null;
  stratum?: string | null;
  inclusion_probability?: number | null;
}

export interface Given {
  id: number;
  slide: number;
  figure: number | null;
  kind: "figure" | "added";
  x: number;
  y: number;
  reader: string;
  answer: Answer;
}

export interface Answers {
  revision: number;
  answers?: Given[];
}

export interface Tally {
  n: number;
  n_amf: number;
  n_nmf: number;
  amf_fraction: number | null;
}

export interface Count {
  n_candidates: number;
  n_reviewed: number;
  n_unresolved: number;
  n_adjudicate: number;
  n_non_mitotic: number;
  without_review: Tally;
  with_review: Tally;
  bounds: { all_amf: Tally; all_nmf: Tally };
  added: Tally;
  with_review_and_added: Tally;
}

export interface Counts {
  all: Count;
  slides: Record<string, Count>;
}

export interface Dispute {
  slide: number;
  figure: number | null;
  x: number;
  y: number;
  answers: { reader: string; answer: Answer }[];
  settled: Answer | null;
}

/** What is posted outlives this page and its numbers: a slide is told by its id, and by its content or its figure's UUID. */
interface Answering {
  reader: string;
  slide: string;
  answer: Answer;
  seconds: number;
}
export type Post =
  | { path: "/api/answers"; body: Answering & { uuid: string } }
  | { path: "/api/added"; body: Answering & { mark: string; x: number; y: number } }
  | { path: "/api/withdraw"; body: { reader: string; id: number } };

/** The server was reached and said no; `status` 0 where it was not reached. */
export class ServerError extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

const TIMEOUT_MS = 15_000;
const RESULTS_HEADER = "Wsiamf-Results";

let loadedWith: string | null = null; // what the server said of its results at first
/** Whether the server has other results since: its numbers of slides and figures are not this page's any more, until it is reloaded. */
export const isOutdated = signal(false);

function noteResults(said: string | null): void {
  if (said === null) return; // turned away before it came to the results
  loadedWith ??= said;
  if (said !== loadedWith) isOutdated.value = true;
}

/** The body, read to its end: a connection that is lost on the way is one that was never there. */
async function request<T>(path: string, init: RequestInit, read: (response: Response) => Promise<T>): Promise<T> {
  let said: { response: Response; body: T | string };
  try {
    const response = await fetch(path, { ...init, signal: AbortSignal.timeout(TIMEOUT_MS), credentials: "same-origin" });
    said = { response, body: response.ok ? await read(response) : await response.text() };
    noteResults(response.headers.get(RESULTS_HEADER));
  } catch {
    throw new ServerError(0, "the server does not answer");
  }
  if (!said.response.ok) throw new ServerError(said.response.status, explanation(said.body as string));
  return said.body as T;
}

function explanation(text: string): string {
  try {
    return String((JSON.parse(text) as { error: unknown }).error);
  } catch {
    return text.slice(0, 300);
  }
}

const json = <T,>(path: string): Promise<T> => request(path, {}, (response) => response.json() as Promise<T>);

const query = (reader: string): string => `reader=${encodeURIComponent(reader)}`;

export const getSession = (): Promise<Session> => json("/api/session");
export const getSlide = (slide: number): Promise<SlideFacts> => json(`/api/slides/${slide}`);
export const getCase = (one: Figure): Promise<CaseFacts> => json(`/api/slides/${one.slide}/figures/${one.figure}`);
export const getWorklist = (reader: string): Promise<{ rows: [number, number, number, number, number, number, number][] }> =>
  json(`/api/worklist?${query(reader)}`);
export const getAnswers = (reader: string, since: number): Promise<Answers> =>
  json(`/api/answers?${query(reader)}&since=${since}`);
export const getCounts = (): Promise<Counts> => json("/api/counts");
export const getDisputes = (): Promise<{ disputes: Dispute[] }> => json("/api/adjudication");

export const getFigures = (slide: number): Promise<ArrayBuffer> =>
  request(`/api/slides/${slide}/figures`, {}, (response) => response.arrayBuffer());

/** `nonce` tells this very post from every other, however often it is sent. */
export function post(one: Post, nonce: string): Promise<{ id: number }> {
  const body = JSON.stringify({ ...one.body, nonce });
  const init = { method: "POST", headers: { "Content-Type": "application/json" }, body };
  return request(one.path, init, (response) => response.json() as Promise<{ id: number }>);
}

export type View = "crop" | "context" | "thumb";

/** Names content and place, so that what a browser keeps of it is never another figure's. */
export const pictureAddress = (one: { slide: number; x: number; y: number }, view: View, slides: SlideEntry[]): string =>
  `/pictures/${one.slide}/${slides[one.slide]!.mark}/${view}.jpg?x=${one.x.toFixed(2)}&y=${one.y.toFixed(2)}`;
