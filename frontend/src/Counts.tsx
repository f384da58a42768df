import type { Count, Tally } from "./api";
import * as state from "./state";

export function Counts() {
  const counts = state.counts.value;
  if (counts === null) return <p class="none">Counting …</p>;
  const open = state.slide.value;
  const slides = state.session.value!.slides;
  const one = open === null ? undefined : counts.slides[slides[open.slide]!.id];
  return (
    <div class="rows plain counts" data-test="counts">
      <Table title={slides.length > 1 ? `All ${slides.length} slides` : slides[0]!.name} count={counts.all} />
      {slides.length > 1 && one !== undefined && <Table title={slides[open!.slide]!.name} count={one} />}
      <p class="note">
        With review: readers' answers where there are any, else the model's. Figures that are not mitoses leave both counts.
        Unresolved ones are left out; the bounds take all of them for AMF or for NMF. <code>wsiamf review apply</code> writes
        these counts, and estimates with intervals from the random sample.
      </p>
    </div>
  );
}

function Table({ title, count }: { title: string; count: Count }) {
  const { all_amf: high, all_nmf: low } = count.bounds;
  const columns: [string, Tally, string][] = [
    ["Model alone", count.without_review, "model"],
    ["With review", count.with_review, "review"],
    ...(count.added.n > 0 ? ([["And added", count.with_review_and_added, "added"]] as [string, Tally, string][]) : []),
  ];
  return (
    <table>
      <caption>
        {title}
        <span class="muted">
          {count.n_reviewed} of {count.n_candidates} answered
        </span>
      </caption>
      <thead>
        <tr>
          <td />
          {columns.map(([words]) => (
            <th key={words} scope="col">
              {words}
            </th>
          ))}
          <th scope="col">Bounds</th>
        </tr>
      </thead>
      <tbody>
        <Line words="AMF" columns={columns} value={(one) => String(one.n_amf)} bounds={range(low.n_amf, high.n_amf)} name="n_amf" />
        <Line words="NMF" columns={columns} value={(one) => String(one.n_nmf)} bounds={range(high.n_nmf, low.n_nmf)} name="n_nmf" />
        <Line
          words="AMF fraction"
          columns={columns}
          value={(one) => percent(one.amf_fraction)}
          bounds={range(percent(low.amf_fraction).replace("\u00a0%", ""), percent(high.amf_fraction))}
          name="amf_fraction"
        />
        <tr>
          <th scope="row">Not mitoses</th>
          <td>–</td>
          <td>{count.n_non_mitotic}</td>
          {count.added.n > 0 && <td />}
          <td />
        </tr>
        <tr>
          <th scope="row">Unresolved</th>
          <td>–</td>
          <td>{count.n_unresolved}</td>
          {count.added.n > 0 && <td />}
          <td />
        </tr>
      </tbody>
    </table>
  );
}

interface LineProps {
  words: string;
  columns: [string, Tally, string][];
  value: (one: Tally) => string;
  bounds: string;
  name: string;
}

function Line({ words, columns, value, bounds, name }: LineProps) {
  return (
    <tr>
      <th scope="row">{words}</th>
      {columns.map(([column, one, key]) => (
        <td key={column} data-count={`${key}-${name}`}>
          {value(one)}
        </td>
      ))}
      <td class="muted bounds">{bounds}</td>
    </tr>
  );
}

const percent = (fraction: number | null): string => (fraction === null ? "–" : `${(100 * fraction).toFixed(1)}\u00a0%`);
const range = (low: number | string, high: number | string): string => (String(high).startsWith(`${low}\u00a0`) || low === high ? String(high) : `${low}–${high}`);
