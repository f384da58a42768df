// The figures of a slide as typed arrays, as the server packs them: a hundred thousand need a megabyte and no objects.

export const AMF = 1;
export const NMF = 2;

export const HARD = 1;
export const IN_HOTSPOT = 2;
export const CERTAIN = 4;
export const RANDOM = 8;

const MAGIC = 0x31464157; // "WAF1", little-endian
export const NO_P = 0xffff;

export interface Figures {
  n: number;
  x: Float32Array;
  y: Float32Array;
  p: Uint16Array;
  cls: Uint8Array;
  flags: Uint8Array;
}

/** Layout: magic, n (uint32 each), x, y (float32, level-0 px), p (uint16, 1/10000), class, flags (uint8). */
export function unpack(buffer: ArrayBuffer): Figures {
  const head = new DataView(buffer);
  if (head.getUint32(0, true) !== MAGIC) throw new Error("figures: not what this page can read; reload it");
  const n = head.getUint32(4, true);
  return {
    n,
    x: new Float32Array(buffer, 8, n),
    y: new Float32Array(buffer, 8 + 4 * n, n),
    p: new Uint16Array(buffer, 8 + 8 * n, n),
    cls: new Uint8Array(buffer, 8 + 10 * n, n),
    flags: new Uint8Array(buffer, 8 + 11 * n, n),
  };
}

export const pText = (p: number): string => (p === NO_P ? "" : (p / 10_000).toFixed(2));

/** The figure nearest to a place, if it lies within `within` (all in level-0 px); -1 where none does. */
export function nearest(figures: Figures, x: number, y: number, within: number, shown: Uint8Array | null): number {
  let best = -1;
  let least = within * within;
  for (let k = 0; k < figures.n; k++) {
    if (shown !== null && shown[k] === 0) continue;
    const dx = figures.x[k]! - x;
    const dy = figures.y[k]! - y;
    const squared = dx * dx + dy * dy;
    if (squared <= least) {
      least = squared;
      best = k;
    }
  }
  return best;
}
