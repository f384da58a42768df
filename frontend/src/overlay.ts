// What lies over the slide: figures, regions, hotspots, the crop's outline. One canvas, drawn anew with each frame.
//
// Far out every figure is a few px, written straight into the picture's memory: a hundred thousand take some
// milliseconds. Close up there are few, and they are outlines that leave the figure itself free.

import type { Given, Hotspot, SlideFacts } from "./api";
import { AMF, NMF, type Figures } from "./figures";

export interface Scene {
  facts: SlideFacts;
  figures: Figures;
  shown: Uint8Array | null;
  answered: ReadonlySet<number>;
  added: readonly Given[];
  chosen: { x: number; y: number } | null;
  draft: { x: number; y: number } | null;
  bare: boolean; // nothing but the chosen figure's crop
}

/** Where level 0 lies on the canvas: canvas px = place * scale + origin, in px of the screen. */
export interface Placing {
  scale: number;
  x: number;
  y: number;
}

const COLORS: Record<number, string> = { 0: "#8250c8", [AMF]: "#d73027", [NMF]: "#4575b4" };
const ADDED_COLOR = "#b35806";
const HOTSPOT_COLOR = "#238b45";
const REGION_COLOR = "#1b1f24";
const CHOSEN_COLOR = "#ffd400";
const MARK_UM = 13.5;
const OUTLINE_FROM_PX = 13; // a mark of that size on the screen has room for its shape
const MOST_OUTLINES = 4_000;
const MARGIN_SHARE = 0.25;
const BEARABLE_MS = 6;
const REPAINT_MS = 120;

interface Painted {
  figures: Figures;
  shown: Uint8Array | null;
  answered: ReadonlySet<number>;
  at: Placing;
  when: number;
  ms: number;
}

export class Overlay {
  private readonly context: CanvasRenderingContext2D;
  private pixels: ImageData | null = null;
  private words: Uint32Array | null = null;
  private outlines: Path2D | null = null;
  private outlinesOf: SlideFacts | null = null;

  private sheet: HTMLCanvasElement | null = null;
  private painted: Painted | null = null;
  private later: ReturnType<typeof setTimeout> | undefined;

  /** `redraw` asks for a drawing once a stretched painting has to be made anew. */
  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly redraw: () => void,
  ) {
    this.context = canvas.getContext("2d")!;
  }

  draw(scene: Scene | null, placing: Placing, width: number, height: number): void {
    const ratio = window.devicePixelRatio || 1;
    this.fit(Math.round(width * ratio), Math.round(height * ratio));
    const { context } = this;
    context.setTransform(1, 0, 0, 1, 0, 0);
    if (scene === null) {
      context.clearRect(0, 0, this.canvas.width, this.canvas.height);
      return;
    }
    const device = { scale: placing.scale * ratio, x: placing.x * ratio, y: placing.y * ratio };
    this.drawFigures(scene, device, ratio);
    if (!scene.bare) {
      this.drawOutlines(scene.facts, device, ratio);
      for (const hotspot of scene.facts.hotspots) this.drawHotspot(hotspot, device, ratio);
    }
    const radius = markRadius(scene, device, ratio);
    for (const one of scene.added) this.drawAdded(one, device, radius, ratio);
    if (scene.draft !== null) this.drawAdded(scene.draft, device, radius, ratio, true);
    if (scene.chosen !== null) this.drawChosen(scene.facts, scene.chosen, device, ratio);
  }

  private fit(width: number, height: number): void {
    if (this.canvas.width !== width) this.canvas.width = width;
    if (this.canvas.height !== height) this.canvas.height = height;
  }

  /** Figures on the sheet, if their marks have room for outlines; null where dots are to be drawn. */
  private outlined(scene: Scene, device: Placing, ratio: number): number[] | null {
    if ((MARK_UM / scene.facts.mpp) * device.scale < OUTLINE_FROM_PX * ratio) return null;
    const { n, x, y } = scene.figures;
    const margin = this.margin + 2 * (MARK_UM / scene.facts.mpp) * device.scale;
    const left = (-margin - device.x) / device.scale;
    const top = (-margin - device.y) / device.scale;
    const right = (this.canvas.width + margin - device.x) / device.scale;
    const bottom = (this.canvas.height + margin - device.y) / device.scale;
    const found: number[] = [];
    for (let k = 0; k < n; k++) {
      if (x[k]! < left || x[k]! > right || y[k]! < top || y[k]! > bottom) continue;
      if (scene.shown !== null && scene.shown[k] === 0) continue;
      found.push(k);
      if (found.length > MOST_OUTLINES) return null;
    }
    return found;
  }

  /**
   * Marks are painted once, with a margin, and moved with the slide; painted anew when it has been moved beyond the margin.
   * While it is zoomed, the painting is stretched between two paintings, if painting takes longer than a frame can bear.
   */
  private drawFigures(scene: Scene, device: Placing, ratio: number): void {
    const { context, canvas } = this;
    context.clearRect(0, 0, canvas.width, canvas.height);
    const old = this.painted;
    const same = old !== null && old.figures === scene.figures && old.shown === scene.shown && old.answered === scene.answered && this.hasRoom();
    const stretch = same ? device.scale / old.at.scale : 1;
    const [x, y] = same ? [device.x - old.at.x * stretch, device.y - old.at.y * stretch] : [0, 0];
    const isMoved = same && Math.abs(stretch - 1) < 1e-9 && Math.abs(x) <= this.margin && Math.abs(y) <= this.margin;
    const isStretched = same && old.ms > BEARABLE_MS && performance.now() - old.when < REPAINT_MS;
    if (!isMoved && !isStretched) this.paint(scene, device, ratio);
    if (isStretched && !isMoved) this.repaintLater();
    const at = isMoved || isStretched ? { x, y, stretch } : { x: 0, y: 0, stretch: 1 };
    const from = -this.margin * at.stretch;
    context.drawImage(
      this.sheet!,
      Math.round(at.x + from),
      Math.round(at.y + from),
      this.sheet!.width * at.stretch,
      this.sheet!.height * at.stretch,
    );
  }

  private get margin(): number {
    return Math.round(MARGIN_SHARE * Math.max(this.canvas.width, this.canvas.height));
  }

  private hasRoom(): boolean {
    const { sheet, canvas, margin } = this;
    return sheet !== null && sheet.width === canvas.width + 2 * margin && sheet.height === canvas.height + 2 * margin;
  }

  private repaintLater(): void {
    clearTimeout(this.later);
    this.later = setTimeout(this.redraw, REPAINT_MS);
  }

  private paint(scene: Scene, device: Placing, ratio: number): void {
    const start = performance.now();
    if (!this.hasRoom()) {
      this.sheet = document.createElement("canvas");
      this.sheet.width = this.canvas.width + 2 * this.margin;
      this.sheet.height = this.canvas.height + 2 * this.margin;
    }
    const outlined = this.outlined(scene, device, ratio);
    if (outlined === null) this.paintDots(scene, device, ratio);
    else this.paintOutlines(scene, outlined, device, ratio);
    const when = performance.now();
    const { figures, shown, answered } = scene;
    this.painted = { figures, shown, answered, at: device, when, ms: when - start };
  }

  /** Stamp each figure's mark: to stroke a thousand shapes one by one would take far longer. */
  private paintOutlines(scene: Scene, outlined: number[], device: Placing, ratio: number): void {
    const sheet = this.sheet!.getContext("2d")!;
    sheet.clearRect(0, 0, this.sheet!.width, this.sheet!.height);
    const radius = markRadius(scene, device, ratio);
    const stamps = new Map<number, HTMLCanvasElement>();
    const { x, y, cls } = scene.figures;
    for (const k of outlined) {
      const isAnswered = scene.answered.has(k);
      const kind = 2 * cls[k]! + Number(isAnswered);
      let stamp = stamps.get(kind);
      if (stamp === undefined) stamps.set(kind, (stamp = markStamp(cls[k]!, isAnswered, radius, ratio)));
      const left = x[k]! * device.scale + device.x + this.margin - stamp.width / 2;
      const top = y[k]! * device.scale + device.y + this.margin - stamp.height / 2;
      sheet.drawImage(stamp, Math.round(left), Math.round(top));
    }
  }

  /** Write the dots into the sheet's memory. */
  private paintDots(scene: Scene, device: Placing, ratio: number): void {
    if (this.pixels === null || this.pixels.width !== this.sheet!.width || this.pixels.height !== this.sheet!.height) {
      this.pixels = new ImageData(this.sheet!.width, this.sheet!.height);
      this.words = new Uint32Array(this.pixels.data.buffer);
    } else this.words!.fill(0);
    const { width, height } = this.sheet!;
    const { n, x, y, cls } = scene.figures;
    const radius = dotRadius(scene, device, ratio);
    const words = this.words!;
    const inner = radius + 1;
    const [dx, dy] = [device.x + this.margin, device.y + this.margin];
    // AMF last, so that the rarer class is never hidden below the other.
    for (const kind of [0, NMF, AMF]) {
      const { offsets, colors } = dot(kind, radius, width);
      for (let k = 0; k < n; k++) {
        if (cls[k] !== kind || (scene.shown !== null && scene.shown[k] === 0)) continue;
        const column = Math.round(x[k]! * device.scale + dx);
        const row = Math.round(y[k]! * device.scale + dy);
        if (column < inner || row < inner || column >= width - inner || row >= height - inner) continue;
        const middle = row * width + column;
        for (let j = 0; j < offsets.length; j++) words[middle + offsets[j]!] = colors[j]!;
      }
    }
    this.sheet!.getContext("2d")!.putImageData(this.pixels!, 0, 0);
  }

  private drawOutlines(facts: SlideFacts, device: Placing, ratio: number): void {
    if (this.outlinesOf !== facts) {
      this.outlinesOf = facts;
      this.outlines = new Path2D();
      for (const ring of facts.outlines) {
        ring.forEach(([x, y], k) => (k === 0 ? this.outlines!.moveTo(x!, y!) : this.outlines!.lineTo(x!, y!)));
        this.outlines.closePath();
      }
    }
    const { context } = this;
    context.setTransform(device.scale, 0, 0, device.scale, device.x, device.y);
    for (const [color, px] of [["#ffffff", 3.5], [REGION_COLOR, 1.5]] as const) {
      context.strokeStyle = color;
      context.lineWidth = (px * ratio) / device.scale;
      context.stroke(this.outlines!);
    }
    context.setTransform(1, 0, 0, 1, 0, 0);
  }

  private drawHotspot(hotspot: Hotspot, device: Placing, ratio: number): void {
    const { context } = this;
    const left = hotspot.x * device.scale + device.x;
    const top = hotspot.y * device.scale + device.y;
    const box = [left, top, hotspot.width * device.scale, hotspot.height * device.scale] as const;
    context.strokeStyle = "#ffffff";
    context.lineWidth = 4 * ratio;
    context.strokeRect(...box);
    context.strokeStyle = HOTSPOT_COLOR;
    context.lineWidth = 2 * ratio;
    context.setLineDash([10 * ratio, 5 * ratio]);
    context.strokeRect(...box);
    context.setLineDash([]);
    const text = hotspot.rank === null ? "Hotspot" : `Hotspot ${hotspot.rank}`;
    context.font = `600 ${12 * ratio}px system-ui, sans-serif`;
    const wide = context.measureText(text).width + 10 * ratio;
    context.fillStyle = HOTSPOT_COLOR;
    context.fillRect(left - ratio, top - 19 * ratio, wide, 19 * ratio);
    context.fillStyle = "#ffffff";
    context.fillText(text, left + 4 * ratio, top - 5.5 * ratio);
  }

  private drawAdded(one: { x: number; y: number }, device: Placing, radius: number, ratio: number, draft = false): void {
    const path = hexagon(one.x * device.scale + device.x, one.y * device.scale + device.y, radius * 1.1);
    if (draft) this.context.setLineDash([4 * ratio, 3 * ratio]);
    strokeShape(this.context, path, ADDED_COLOR, ratio);
    this.context.setLineDash([]);
  }

  private drawChosen(facts: SlideFacts, chosen: { x: number; y: number }, device: Placing, ratio: number): void {
    const { context } = this;
    const half = Math.max((facts.crop_um / facts.mpp / 2) * device.scale, 13 * ratio);
    const [x, y] = [chosen.x * device.scale + device.x, chosen.y * device.scale + device.y];
    const arm = half * 0.35;
    const path = new Path2D();
    for (const sx of [-1, 1]) {
      for (const sy of [-1, 1]) {
        path.moveTo(x + sx * (half - arm), y + sy * half);
        path.lineTo(x + sx * half, y + sy * half);
        path.lineTo(x + sx * half, y + sy * (half - arm));
      }
    }
    context.lineJoin = "round";
    context.strokeStyle = "#1b1f24";
    context.lineWidth = 5.5 * ratio;
    context.stroke(path);
    context.strokeStyle = CHOSEN_COLOR;
    context.lineWidth = 2.75 * ratio;
    context.stroke(path);
  }
}

function markRadius(scene: Scene, device: Placing, ratio: number): number {
  return Math.max((MARK_UM / scene.facts.mpp / 2) * device.scale, 4 * ratio);
}

function strokeShape(context: CanvasRenderingContext2D, path: Path2D, color: string, ratio: number): void {
  context.strokeStyle = "rgba(255, 255, 255, 0.9)";
  context.lineWidth = 4.5 * ratio;
  context.stroke(path);
  context.strokeStyle = color;
  context.lineWidth = 2.25 * ratio;
  context.stroke(path);
}

/** A figure's mark in the middle of a canvas of its own, with a tick where it is answered. */
function markStamp(kind: number, isAnswered: boolean, radius: number, ratio: number): HTMLCanvasElement {
  const stamp = document.createElement("canvas");
  const middle = Math.ceil(1.2 * radius + 10 * ratio);
  stamp.width = stamp.height = 2 * middle;
  const context = stamp.getContext("2d")!;
  strokeShape(context, kind === AMF ? diamond(middle, middle, radius * 1.2) : circle(middle, middle, radius), COLORS[kind]!, ratio);
  if (isAnswered) drawTick(context, middle + radius * 0.75, middle - radius * 0.75, ratio);
  return stamp;
}

function drawTick(context: CanvasRenderingContext2D, x: number, y: number, ratio: number): void {
  const side = 5 * ratio;
  context.beginPath();
  context.arc(x, y, side + 2 * ratio, 0, 2 * Math.PI);
  context.fillStyle = "#0b5d55";
  context.fill();
  context.beginPath();
  context.moveTo(x - side / 2, y);
  context.lineTo(x - side / 8, y + side / 2.4);
  context.lineTo(x + side / 1.7, y - side / 2.2);
  context.strokeStyle = "#ffffff";
  context.lineWidth = 1.8 * ratio;
  context.stroke();
}

function dotRadius(scene: Scene, device: Placing, ratio: number): number {
  const mark = (MARK_UM / scene.facts.mpp / 2) * device.scale;
  return Math.round(Math.min(Math.max(mark, (scene.figures.n > 20_000 ? 1.5 : 3) * ratio), 6 * ratio));
}

/** A filled dot with a white rim as offsets into a picture of a width, and colours; AMF are diamonds, the others discs. */
function dot(kind: number, radius: number, width: number): { offsets: Int32Array; colors: Uint32Array } {
  const offsets: number[] = [];
  const colors: number[] = [];
  const fill = word(COLORS[kind]!);
  for (let dy = -radius - 1; dy <= radius + 1; dy++) {
    for (let dx = -radius - 1; dx <= radius + 1; dx++) {
      const distance = kind === AMF ? (Math.abs(dx) + Math.abs(dy)) * 0.8 : Math.hypot(dx, dy);
      if (distance > radius + 1) continue;
      offsets.push(dy * width + dx);
      colors.push(distance > radius + 0.2 ? 0xffffffff : fill);
    }
  }
  return { offsets: Int32Array.from(offsets), colors: Uint32Array.from(colors) };
}

/** `#rrggbb` as the word that ImageData holds on little-endian machines, which all browsers run on. */
function word(hex: string): number {
  const rgb = Number.parseInt(hex.slice(1), 16);
  return ((0xff << 24) | ((rgb & 0xff) << 16) | (rgb & 0xff00) | (rgb >> 16)) >>> 0;
}

function circle(x: number, y: number, radius: number): Path2D {
  const path = new Path2D();
  path.arc(x, y, radius, 0, 2 * Math.PI);
  return path;
}

function diamond(x: number, y: number, radius: number): Path2D {
  return polygon(x, y, radius, 4, -Math.PI / 2);
}

function hexagon(x: number, y: number, radius: number): Path2D {
  return polygon(x, y, radius, 6, 0);
}

function polygon(x: number, y: number, radius: number, corners: number, from: number): Path2D {
  const path = new Path2D();
  for (let k = 0; k < corners; k++) {
    const angle = from + (2 * Math.PI * k) / corners;
    path[k === 0 ? "moveTo" : "lineTo"](x + radius * Math.cos(angle), y + radius * Math.sin(angle));
  }
  path.closePath();
  return path;
}
