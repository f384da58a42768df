import { useEffect } from "preact/hooks";
import { ANSWERS, pictureAddress, type Answer, type CaseFacts, type View } from "./api";
import { pText } from "./figures";
import * as state from "./state";
import { ANSWER_WORDS, Icon, Mark } from "./words";

export function CasePanel() {
  const now = state.selection.value;
  if (now === null) {
    return (
      <section class="case empty" aria-label="Case">
        <p>Choose a figure on the slide or in the list.</p>
      </section>
    );
  }
  const figure = state.isFigure(now) ? now : null;
  const address = (view: View) => pictureAddress(now, view, state.session.value!.slides);
  return (
    <section class="case" aria-label="Case" data-test="case" data-figure={figure?.figure ?? "added"} data-slide={now.slide}>
      <Head />
      <div class="pictures">
        <Picture
          address={address("crop")}
          caption="Crop 32 µm, bar 10 µm"
          alt="The figure's crop, 32 µm wide, with a scale bar"
          onLoad={() => state.noteCrop(address("crop"), "shown")}
          onError={() => state.noteCrop(address("crop"), "lost")}
        />
        <Picture address={address("context")} caption="Context 128 µm, bar 25 µm" alt="Tissue round the figure, 128 µm wide, with a scale bar" />
      </div>
      {figure !== null && !state.session.value!.blinded && <Call facts={state.caseFacts.value} />}
      <Answers />
    </section>
  );
}

function Head() {
  const now = state.selection.value!;
  const at = state.position.value;
  const facts = state.caseFacts.value;
  const title = !state.isFigure(now) ? "Missed figure" : at < 0 ? "Figure, not in this list" : `Case ${at + 1} of ${state.rows.value.length}`;
  return (
    <div class="head">
      <h2 data-test="title">{title}</h2>
      <span class="muted ellipsis">
        {facts?.candidate_id !== undefined && <span title="The detector's name of it">{facts.candidate_id} · </span>}
        {`x ${Math.round(now.x)}, y ${Math.round(now.y)}`}
      </span>
      <span class="grow" />
      <button type="button" class="small" onClick={() => state.step(-1)} aria-label="Previous case">
        <Icon name="left" />
      </button>
      <button type="button" class="small" onClick={() => state.step(1)} aria-label="Next case">
        <Icon name="right" />
      </button>
    </div>
  );
}

interface PictureProps {
  address: string;
  caption: string;
  alt: string;
  onLoad?: () => void;
  onError?: () => void;
}

function Picture({ address, caption, alt, onLoad, onError }: PictureProps) {
  return (
    <figure>
      <img
        key={`${address} ${state.nTries.value}`}
        src={address}
        alt={alt}
        width="512"
        height="512"
        decoding="async"
        onLoad={onLoad}
        onError={onError}
      />
      <figcaption>{caption}</figcaption>
    </figure>
  );
}

function Call({ facts }: { facts: CaseFacts | null }) {
  const open = state.slide.value;
  const cuts = open?.facts.thresholds;
  const label = facts?.label;
  const experts = facts?.experts ?? [];
  return (
    <div class="call" aria-busy={facts === null}>
      <div class="line">
        <span class="pill">
          {label !== undefined && <Mark shape={label === "AMF" ? "AMF" : "NMF"} />}
          Model: {label ?? "…"}
          {facts?.hard === true && <span class="tag">hard</span>}
        </span>
        <Scale name="P(AMF)" value={facts?.p_atypical ?? null} cut={cuts?.p_atypical ?? null} />
        <Scale name="P(hard)" value={facts?.p_hard ?? null} cut={cuts?.p_hard ?? null} />
      </div>
      {experts.length > 0 && (
        <div class="experts" role="img" aria-label={expertWords(experts)}>
          <span class="muted">Expert heads</span>
          {experts.map((p, k) => (
            <span key={k} class={(p ?? 0) >= (cuts?.experts[k] ?? 0.5) ? "head-amf" : "head-nmf"} title={open?.facts.experts[k] ?? ""}>
              <i style={{ height: `${Math.max(100 * (p ?? 0), 4)}%` }} />
              <b>{p === null ? "" : p.toFixed(2).slice(1)}</b>
            </span>
          ))}
        </div>
      )}
      {facts !== null && <Reason facts={facts} />}
    </div>
  );
}

/** Why the case is listed: two lines, which may not hold all; the title does. */
function Reason({ facts }: { facts: CaseFacts }) {
  const { rank, reason, stratum, inclusion_probability: p } = facts;
  const ranked = rank == null ? [] : [`rank ${rank}`];
  const drawn = stratum === "random" && p != null ? `random ${p.toPrecision(2)}` : stratum;
  const place = [...ranked, ...(drawn == null ? [] : [drawn])].join(", ");
  const whole = [...ranked, stratumWords(facts), reason].filter(Boolean).join("; ");
  return (
    <p class="reason" title={whole} data-test="reason">
      {place !== "" && <span class="muted">{place[0]!.toUpperCase() + place.slice(1)}: </span>}
      {reason ?? ""}
    </p>
  );
}

const expertWords = (experts: (number | null)[]): string =>
  `Probability of AMF by each expert head: ${experts.map((p) => (p === null ? "none" : p.toFixed(2))).join(", ")}`;

function stratumWords({ stratum, inclusion_probability: p }: CaseFacts): string {
  if (stratum === "certain") return "taken for certain";
  if (stratum === "random") return `random sample${p == null ? "" : `, taken with probability ${p.toPrecision(2)}`}`;
  return "";
}

function Scale({ name, value, cut }: { name: string; value: number | null; cut: number | null }) {
  const text = value === null ? "–" : pText(Math.round(value * 10_000));
  return (
    <span class="scale-line" role="img" aria-label={`${name} ${text}${cut === null ? "" : `, cut-off ${cut.toFixed(2)}`}`}>
      <span>
        <span class="muted">{name}</span> <b>{text}</b>
      </span>
      <span class="track">
        <i style={{ width: `${100 * (value ?? 0)}%` }} />
        {cut !== null && <u style={{ left: `${100 * cut}%` }} />}
      </span>
    </span>
  );
}

function Answers() {
  const now = state.selection.value!;
  const isFigure = state.isFigure(now);
  const sending = isFigure ? state.pending.value.get(state.keyOf(now)) : undefined;
  const given = isFigure ? state.mine.value.get(state.keyOf(now)) : state.ownAt(now)?.answer;
  useEffect(() => {
    // The pictures of the next case are there when it is.
    const list = state.rows.value;
    const following = state.position.value + 1;
    if (following > 0 && following < list.length) {
      for (const view of ["crop", "context"] as const) new Image().src = pictureAddress(list.at(following), view, state.session.value!.slides);
    }
  }, [now]);
  return (
    <div class="answers" role="group" aria-label="Your answer">
      {ANSWERS.map((one: Answer) => {
        const words = ANSWER_WORDS[one];
        const off = !isFigure && now.draft && one !== "AMF" && one !== "NMF";
        return (
          <button
            type="button"
            key={one}
            class={`answer answer-${one}`}
            title={words.long}
            disabled={off}
            aria-pressed={given === one}
            aria-busy={sending === one}
            data-test={`answer-${one}`}
            onClick={() => state.answer(one)}
          >
            <kbd>{words.key}</kbd>
            <Mark shape={one} />
            <span>{words.short}</span>
          </button>
        );
      })}
    </div>
  );
}
