import { useEffect, useRef, useState } from "preact/hooks";
import { isOutdated } from "./api";
import { CasePanel } from "./CasePanel";
import { HelpDialog, JumpDialog, ReaderDialog } from "./Dialogs";
import { Lists } from "./Lists";
import { listen } from "./keys";
import { held, waiting } from "./queue";
import * as state from "./state";
import { isDark, toggleTheme } from "./theme";
import { SlideViewer, type ScaleBar } from "./viewer";
import { Icon, Mark } from "./words";

export type Dialog = "help" | "jump" | "reader" | null;

export function App() {
  const [dialog, setDialog] = useState<Dialog>(null);
  const viewer = useRef<SlideViewer | null>(null);
  const session = state.session.value;
  useEffect(() => listen({ viewer, open: setDialog }), []);
  if (state.fatal.value !== null) return <Fatal why={state.fatal.value} />;
  if (session === null) return <div class="loading">Opening the review …</div>;
  const close = () => setDialog(null);
  return (
    <div class="app">
      <TopBar open={setDialog} />
      <Outdated />
      <Connection />
      <main class="work">
        <SlidePane viewer={viewer} />
        <aside class="side" aria-label="Case and lists">
          <CasePanel />
          <Lists />
        </aside>
      </main>
      <Notice />
      {dialog === "help" && <HelpDialog close={close} />}
      {dialog === "jump" && <JumpDialog close={close} />}
      {(dialog === "reader" || (state.reader.value === null && !state.isEntering.value)) && <ReaderDialog close={close} />}
    </div>
  );
}

function TopBar({ open }: { open: (dialog: Dialog) => void }) {
  const session = state.session.value!;
  const now = state.wanted.value;
  const total = state.worklist.value.length;
  const done = state.nAnswered.value;
  return (
    <header class="top">
      <div class="brand">
        <img src="/icon.svg" alt="" width="22" height="22" />
        <h1>wsiamf review</h1>
      </div>
      <label class="slide-choice">
        <span class="visually-hidden">Slide</span>
        <select
          value={String(now ?? "")}
          onChange={(event) => {
            state.browse(Number(event.currentTarget.value));
            event.currentTarget.blur();
          }}
        >
          {now === null && <option value="">No slide open</option>}
          {session.slides.map((one, number) => (
            <option key={one.id} value={String(number)}>
              {one.name} · {one.n_figures.toLocaleString("en")} figures
            </option>
          ))}
        </select>
      </label>
      <div class="progress" role="group" aria-label="Progress">
        <progress max={Math.max(total, 1)} value={done} aria-label="Answered cases of the worklist" />
        <span data-test="progress">
          {done} of {total} answered
        </span>
      </div>
      <span class="grow" />
      {session.blinded && <span class="badge">Blinded</span>}
      <button type="button" class="quiet" onClick={() => open("reader")} data-test="reader">
        <span class="muted">Reader</span> {state.reader.value ?? "nobody"}
      </button>
      <button type="button" class="quiet icon" onClick={toggleTheme} aria-label={isDark.value ? "Light colours" : "Dark colours"}>
        <Icon name={isDark.value ? "sun" : "moon"} />
      </button>
      <button type="button" class="quiet icon" onClick={() => open("help")} aria-label="Keys and help">
        <Icon name="help" />
      </button>
    </header>
  );
}

function Outdated() {
  if (!isOutdated.value) return null;
  return (
    <div class="held" role="alert" data-test="outdated">
      <strong>The results behind this page have changed.</strong>
      <span> Reload to see them.</span>
      <button type="button" onClick={() => location.reload()}>
        Reload
      </button>
    </div>
  );
}

function Connection() {
  const n = waiting.value.length;
  if (held.value === null) return null;
  return (
    <div class="held" role="alert" data-test="held">
      <strong>{held.value}.</strong>
      <span>
        {n > 0
          ? ` ${n} ${n === 1 ? "decision waits" : "decisions wait"} in this browser and will be sent when it is back.`
          : " Nothing is lost; trying again."}
      </span>
      <button type="button" onClick={state.tryAgain}>
        Try now
      </button>
    </div>
  );
}

function SlidePane({ viewer }: { viewer: { current: SlideViewer | null } }) {
  const box = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const bar = useRef<HTMLDivElement>(null);
  const barText = useRef<HTMLSpanElement>(null);
  const times = useRef<HTMLSpanElement>(null);
  useEffect(() => {
    // Written past the components: it changes with every frame of a zoom.
    const onView = (now: ScaleBar | null, magnification: string) => {
      bar.current!.style.visibility = now === null ? "hidden" : "visible";
      bar.current!.style.width = `${now?.px ?? 0}px`;
      barText.current!.textContent = now?.text ?? "";
      times.current!.textContent = magnification;
    };
    viewer.current = new SlideViewer(box.current!, canvas.current!, onView);
    // For tests, which cannot look into a canvas.
    Object.assign(window, { wsiamfViewer: viewer.current, wsiamfReady: state.isReady });
    return () => viewer.current?.destroy();
  }, []);
  return (
    <section class="slide" aria-label="Slide">
      <div ref={box} class="osd" data-test="slide" />
      <canvas ref={canvas} class="overlay" aria-hidden="true" />
      {state.slideProblem.value !== null && (
        <div class="problem" role="alert">
          <h2>This slide cannot be shown</h2>
          <p>{state.slideProblem.value.why}</p>
        </div>
      )}
      <div class="zoom" role="group" aria-label="View">
        <button type="button" onClick={() => viewer.current?.zoom(1)} aria-label="Zoom in">
          <Icon name="plus" />
        </button>
        <button type="button" onClick={() => viewer.current?.zoom(-1)} aria-label="Zoom out">
          <Icon name="minus" />
        </button>
        <button type="button" onClick={() => viewer.current?.whole()} aria-label="Whole slide" title="Whole slide (0)">
          <Icon name="whole" />
        </button>
      </div>
      <Legend />
      <div class="scale" aria-hidden="true">
        <span ref={times} class="times" />
        <div ref={bar} class="bar" data-test="scale-bar">
          <span ref={barText} />
        </div>
      </div>
    </section>
  );
}

function Legend() {
  const blinded = state.session.value?.blinded ?? false;
  const shown = state.showMarks.value;
  return (
    <div class="legend">
      {blinded ? (
        <span>
          <Mark shape="figure" /> figure
        </span>
      ) : (
        <>
          <span>
            <Mark shape="AMF" /> AMF
          </span>
          <span>
            <Mark shape="NMF" /> NMF
          </span>
        </>
      )}
      <span>
        <Mark shape="added" /> added
      </span>
      <button type="button" onClick={() => (state.showMarks.value = !shown)} aria-pressed={!shown}>
        {shown ? "Hide marks" : "Show marks"} <kbd>H</kbd>
      </button>
    </div>
  );
}

function Notice() {
  const now = state.notice.value;
  return (
    <div class="notices" aria-live="polite" data-test="notice">
      {now !== null && <div class={now.bad ? "notice bad" : "notice"}>{now.text}</div>}
    </div>
  );
}

function Fatal({ why }: { why: string }) {
  return (
    <div class="loading" role="alert">
      <h1>The review cannot be opened</h1>
      <p>{why}</p>
    </div>
  );
}
