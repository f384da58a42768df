import { useRef, useState, useEffect, useLayoutEffect } from "preact/hooks";
import { pictureAddress, type Given, type WorkRow } from "./api";
import { Counts } from "./Counts";
import { AMF, CERTAIN, HARD, NMF, pText, RANDOM } from "./figures";
import * as state from "./state";
import { ANSWER_WORDS, Mark, shapeOf } from "./words";

type Tab = "worklist" | "all" | "disputes" | "added" | "counts";

export function Lists() {
  const [tab, setTab] = useState<Tab>("worklist");
  const blinded = state.session.value!.blinded;
  const open = state.slide.value;
  const waitingFor = state.disputes.value.filter((one) => one.settled === null).length;
  const tabs: [Tab, string, number | null][] = [
    ["worklist", "Worklist", state.worklist.value.length],
    ["all", "All", open?.figures.n ?? null],
    ["added", "Added", state.added.value.length],
    ...(blinded ? [] : ([["disputes", "Disputed", waitingFor], ["counts", "Counts", null]] as [Tab, string, number | null][])),
  ];
  const choose = (one: Tab): void => {
    setTab(one);
    if (one === "worklist" || one === "all" || one === "disputes") state.source.value = one;
  };
  const onKey = (event: KeyboardEvent): void => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (by === undefined || event.shiftKey) return;
    const at = tabs.findIndex(([name]) => name === tab);
    const to = tabs[(at + by + tabs.length) % tabs.length]![0];
    choose(to);
    document.getElementById(`tab-${to}`)?.focus();
  };
  return (
    <section class="lists" aria-label="Lists">
      <div class="tabs" role="tablist" onKeyDown={onKey}>
        {tabs.map(([name, words, n]) => (
          <button
            type="button"
            role="tab"
            key={name}
            id={`tab-${name}`}
            aria-selected={tab === name}
            aria-controls="list"
            tabIndex={tab === name ? 0 : -1}
            onClick={() => choose(name)}
          >
            {words}
            {n !== null && <span class="n">{n.toLocaleString("en")}</span>}
          </button>
        ))}
      </div>
      <div id="list" class="list-pane" role="tabpanel" aria-labelledby={`tab-${tab}`}>
        {(tab === "worklist" || tab === "all") && <FilterBar blinded={blinded} />}
        {tab === "worklist" && !state.session.value!.drawn && (
          <p class="note">
            No worklist was drawn: these are the figures of the highest rank. Estimates need one:{" "}
            <code>wsiamf review worklist OUT --review-budget N</code>
          </p>
        )}
        {tab === "worklist" && state.session.value!.redraw !== null && (
          <p class="note" role="alert" data-test="redraw">
            The figures have changed since this worklist was drawn, so that nothing can be estimated from it. Draw it anew, answers are kept:{" "}
            <code>{state.session.value!.redraw}</code>
          </p>
        )}
        {(tab === "worklist" || tab === "all") && <FigureList key={tab} />}
        {tab === "disputes" && <Disputes />}
        {tab === "added" && <AddedList />}
        {tab === "counts" && <Counts />}
      </div>
    </section>
  );
}

function FilterBar({ blinded }: { blinded: boolean }) {
  const now = state.filters.value;
  const set = (change: Partial<state.Filters>): void => {
    const next = { ...now, ...change };
    const none = (Object.keys(next) as (keyof state.Filters)[]).every((key) => next[key] === state.NO_FILTERS[key]);
    state.filters.value = none ? state.NO_FILTERS : next;
  };
  const toggle = (key: "hard" | "hotspot" | "unanswered" | "thisSlide", words: string) => (
    <button type="button" class="chip" aria-pressed={now[key]} onClick={() => set({ [key]: !now[key] })} data-test={`filter-${key}`}>
      {words}
    </button>
  );
  const choice = (key: "cls" | "stratum", value: number, words: string) => (
    <button type="button" class="chip" aria-pressed={now[key] === value} onClick={() => set({ [key]: now[key] === value ? 0 : value })} data-test={`filter-${words}`}>
      {words}
    </button>
  );
  return (
    <div class="filters" role="group" aria-label="Show only">
      {toggle("unanswered", "Unanswered")}
      {state.session.value!.slides.length > 1 && toggle("thisSlide", "This slide")}
      {!blinded && choice("cls", AMF, "AMF")}
      {!blinded && choice("cls", NMF, "NMF")}
      {!blinded && toggle("hard", "Hard")}
      {!blinded && toggle("hotspot", "Hotspot")}
      {!blinded && choice("stratum", CERTAIN, "Certain")}
      {!blinded && choice("stratum", RANDOM, "Random")}
    </div>
  );
}

const ROW_PX = 48;
const SPARE_ROWS = 6;

/** Only the rows in view exist, so that a hundred thousand figures scroll. */
function FigureList() {
  const box = useRef<HTMLDivElement>(null);
  const [top, setTop] = useState(0);
  const [height, setHeight] = useState(400);
  const list = state.rows.value;
  const at = state.position.value;
  useLayoutEffect(() => {
    const watch = new ResizeObserver(() => setHeight(box.current!.clientHeight));
    watch.observe(box.current!);
    return () => watch.disconnect();
  }, []);
  useEffect(() => {
    const pane = box.current!;
    if (at < 0) return;
    if (at * ROW_PX < pane.scrollTop) pane.scrollTop = at * ROW_PX;
    else if ((at + 1) * ROW_PX > pane.scrollTop + pane.clientHeight) pane.scrollTop = (at + 1) * ROW_PX - pane.clientHeight;
  }, [at, list]);
  if (list.length === 0) {
    return (
      <div ref={box} class="rows">
        <p class="none">{state.filters.value === state.NO_FILTERS ? "There are no figures." : "No figure passes the filters."}</p>
      </div>
    );
  }
  const first = Math.max(0, Math.floor(top / ROW_PX) - SPARE_ROWS);
  const last = Math.min(list.length, Math.ceil((top + height) / ROW_PX) + SPARE_ROWS);
  const shown = Array.from({ length: last - first }, (_, k) => first + k);
  return (
    <div ref={box} class="rows" role="listbox" aria-label="Figures" onScroll={(event) => setTop(event.currentTarget.scrollTop)} tabIndex={0}>
      <div class="all-rows" style={{ height: `${list.length * ROW_PX}px` }}>
        {shown.map((index) => (
          <Row key={`${list.at(index).slide}:${list.at(index).figure}`} row={list.at(index)} index={index} chosen={index === at} />
        ))}
      </div>
    </div>
  );
}

function Row({ row, index, chosen }: { row: WorkRow; index: number; chosen: boolean }) {
  const given = state.mine.value.get(state.keyOf(row));
  const session = state.session.value!;
  const call = row.cls === AMF ? "AMF" : row.cls === NMF ? "NMF" : "Figure";
  return (
    <div
      class="row"
      role="option"
      aria-selected={chosen}
      data-test="row"
      data-answer={given ?? ""}
      style={{ transform: `translateY(${index * ROW_PX}px)` }}
      onClick={() => state.select(state.chosen(row))}
    >
      <span class="number">{index + 1}</span>
      <img src={pictureAddress(row, "thumb", session.slides)} alt="" width="40" height="40" loading="lazy" decoding="async" />
      <span class="what">
        <span>
          <Mark shape={shapeOf(row.cls)} /> {call} <b>{pText(row.p)}</b>
          {(row.flags & HARD) !== 0 && <span class="tag">hard</span>}
          {(row.flags & RANDOM) !== 0 && <span class="tag plain">random</span>}
        </span>
        {session.slides.length > 1 && <span class="muted ellipsis">{session.slides[row.slide]?.name}</span>}
      </span>
      {given !== undefined && (
        <span class="given">
          <Mark shape={given} /> {ANSWER_WORDS[given].short}
        </span>
      )}
    </div>
  );
}

function Disputes() {
  const list = state.disputes.value;
  const { adjudicator, slides } = state.session.value!;
  const own = adjudicator !== null && adjudicator === state.reader.value;
  return (
    <div class="rows plain" data-test="disputes">
      <p class="note">
        {adjudicator === null
          ? "Figures on which readers have no majority. They are left out of the counts; start with --adjudicator NAME to let one reader decide."
          : own
            ? "Figures on which the others have no majority. Your answer decides."
            : `Figures on which readers have no majority. ${adjudicator} decides.`}
      </p>
      {list.length === 0 && <p class="none">Nothing waits.</p>}
      {list.map((one) => {
        const now = state.selection.value;
        const chosen = now !== null && now.slide === one.slide && (state.isFigure(now) ? now.figure === one.figure : now.x === one.x && now.y === one.y);
        const choose = () =>
          state.select(
            one.figure === null ? { slide: one.slide, x: one.x, y: one.y, draft: false } : { slide: one.slide, figure: one.figure, x: one.x, y: one.y },
          );
        return (
          <button type="button" key={`${one.slide}:${one.x}:${one.y}`} class="dispute" aria-pressed={chosen} onClick={choose} data-test="dispute">
            <img src={pictureAddress(one, "thumb", slides)} alt="" width="40" height="40" loading="lazy" />
            <span class="votes">
              {one.answers.map(({ reader, answer }) => (
                <span key={reader}>
                  <Mark shape={answer} /> <b>{ANSWER_WORDS[answer].short}</b> <span class="muted">{reader}</span>
                </span>
              ))}
            </span>
            {one.settled !== null && <span class="given">Settled: {ANSWER_WORDS[one.settled].short}</span>}
          </button>
        );
      })}
    </div>
  );
}

function AddedList() {
  const list = state.added.value;
  return (
    <div class="rows plain">
      <p class="note">
        Figures that the points missed. Press <kbd>M</kbd> over the slide to mark one. They are counted apart.
      </p>
      {list.map((one: Given) => (
        <button
          type="button"
          key={one.id}
          class="dispute"
          onClick={() => state.select({ slide: one.slide, x: one.x, y: one.y, draft: false })}
          data-test="added"
        >
          <img src={pictureAddress(one, "thumb", state.session.value!.slides)} alt="" width="40" height="40" loading="lazy" />
          <span class="votes">
            <span>
              <Mark shape={one.answer} /> <b>{ANSWER_WORDS[one.answer].short}</b> <span class="muted">{one.reader}</span>
            </span>
          </span>
        </button>
      ))}
    </div>
  );
}
