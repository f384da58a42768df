// The slide: OpenSeadragon over the server's tiles, with the overlay on top.

import { effect } from "@preact/signals";
import OpenSeadragon from "openseadragon";
import type { SlideFacts } from "./api";
import { Overlay, type Placing, type Scene } from "./overlay";
import * as state from "./state";

const CHOSEN_UM_ACROSS = 220; // of tissue in view round a case
const MOST_UM_ACROSS = 900; // wider views are left for the case
const CLICK_PX = 10;
const PAN_SHARE = 0.15;
const ZOOM_STEP = 1.5;
const MOST_TIMES = 200;

export interface ScaleBar {
  px: number;
  text: string;
}

export class SlideViewer {
  private readonly viewer: OpenSeadragon.Viewer;
  private readonly overlay: Overlay;
  private facts: SlideFacts | null = null;
  private cursor: OpenSeadragon.Point | null = null;
  private readonly drawn: number[] = [];
  private firstTile: number | null = null;
  private scene: Scene | null = null;
  private wanted: { x: number; y: number } | null = null;
  private stopped: (() => void)[] = [];

  constructor(
    private readonly element: HTMLElement,
    canvas: HTMLCanvasElement,
    private readonly onView: (bar: ScaleBar | null, magnification: string) => void,
  ) {
    this.overlay = new Overlay(canvas, () => this.draw());
    forgoInlineStyle();
    this.viewer = OpenSeadragon({
      element,
      drawer: "canvas",
      showNavigationControl: false,
      keyboardNavEnabled: false, // A is an answer here, and no step to the left
      showNavigator: true,
      navigatorAutoFade: false,
      navigatorPosition: "TOP_RIGHT",
      navigatorSizeRatio: 0.18,
      navigatorBackground: "transparent",
      navigatorBorderColor: "transparent",
      navigatorDisplayRegionColor: "#ffd400",
      animationTime: 0.25,
      springStiffness: 10,
      clickTimeThreshold: Infinity, // a button held for long, or a busy machine, is no drag
      gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true },
      gestureSettingsTouch: { clickToZoom: false },
      maxZoomPixelRatio: 4,
      minZoomImageRatio: 0.8,
      visibilityRatio: 0.2,
      immediateRender: false,
      imageLoaderLimit: 6,
      timeout: 30_000,
      tileRetryMax: 5,
      tileRetryDelay: 1_500,
    });
    for (const event of ["update-viewport", "open", "resize"] as const) this.viewer.addHandler(event, () => this.draw());
    this.viewer.addHandler("canvas-click", (event) => this.onClick(event as OpenSeadragon.CanvasClickEvent));
    element.addEventListener("pointermove", (event) => this.follow(event));
    element.addEventListener("pointerleave", () => (this.cursor = null));
    this.stopped.push(
      effect(() => this.showSlide(state.slide.value?.facts ?? null)),
      effect(() => this.showScene()),
      effect(() => this.goToSelection()),
    );
  }

  destroy(): void {
    for (const stop of this.stopped) stop();
    this.viewer.destroy();
  }

  /** Level-0 place of the cursor, or of the middle of the view where the cursor is elsewhere. */
  pointed(): { x: number; y: number } | null {
    const item = this.viewer.world.getItemAt(0);
    if (!item) return null;
    const at = this.cursor ?? new OpenSeadragon.Point(this.element.clientWidth / 2, this.element.clientHeight / 2);
    return item.viewerElementToImageCoordinates(at);
  }

  zoom(by: 1 | -1): void {
    this.viewer.viewport.zoomBy(by > 0 ? ZOOM_STEP : 1 / ZOOM_STEP);
    this.viewer.viewport.applyConstraints();
  }

  pan(dx: number, dy: number): void {
    const bounds = this.viewer.viewport.getBounds();
    this.viewer.viewport.panBy(new OpenSeadragon.Point(dx * bounds.width * PAN_SHARE, dy * bounds.height * PAN_SHARE));
    this.viewer.viewport.applyConstraints();
  }

  whole(): void {
    this.viewer.viewport.goHome();
  }

  /** What is seen, in parts of the slide's width. */
  view(): { x: number; y: number; width: number } {
    return this.viewer.viewport.getBounds(true);
  }

  /** What is seen where the whole slide is. */
  home(): { x: number; y: number; width: number } {
    return this.viewer.viewport.getHomeBounds();
  }

  /** Whether a slide is open and everything in view has been drawn in full. */
  isComplete(): boolean {
    return this.viewer.world.getItemAt(0)?.getFullyLoaded() ?? false;
  }

  /** When the first tile of the slide that is shown was drawn, as `performance.now` counts; null before. */
  firstTileAt(): number | null {
    return this.firstTile;
  }

  /** The slide that is shown. */
  slide(): number | null {
    return this.facts !== null && state.slide.value?.facts === this.facts ? state.slide.value.slide : null;
  }

  /** Milliseconds of the overlay's last drawings, which are forgotten then. */
  drawTimes(): number[] {
    return this.drawn.splice(0);
  }

  /** Where a figure of the open slide is on the screen, in px of this element. */
  screenOf(figure: number): { x: number; y: number } {
    const { scale, x, y } = this.placing();
    const { figures } = state.slide.value!;
    return { x: figures.x[figure]! * scale + x, y: figures.y[figure]! * scale + y };
  }

  private showSlide(facts: SlideFacts | null): void {
    if (facts === this.facts) return;
    this.facts = facts;
    if (facts === null) {
      this.viewer.close();
      return;
    }
    const tileSource = {
      width: facts.width,
      height: facts.height,
      tileSize: facts.tile_px,
      tileOverlap: 0,
      minLevel: facts.first_level,
      maxLevel: facts.last_level,
      getTileUrl: (level: number, x: number, y: number) => `${facts.tiles}/${level}/${x}_${y}.jpg`,
    };
    this.firstTile = null;
    this.viewer.open({ tileSource });
    this.viewer.addOnceHandler("tile-drawn", () => (this.firstTile = performance.now()));
    this.viewer.addOnceHandler("open", () => this.center(true));
  }

  private showScene(): void {
    const open = state.slide.value;
    const now = state.selection.value;
    if (open === null) this.scene = null;
    else {
      const mine = [...state.mine.value.keys()].filter((key) => key.startsWith(`${open.slide}:`));
      this.scene = {
        facts: open.facts,
        figures: state.showMarks.value ? open.figures : { ...open.figures, n: 0 },
        shown: state.shownMarks.value,
        answered: new Set(mine.map((key) => Number(key.slice(key.indexOf(":") + 1)))),
        added: state.added.value.filter((one) => one.slide === open.slide && state.showMarks.value),
        chosen: now !== null && now.slide === open.slide ? now : null,
        draft: now !== null && !state.isFigure(now) && now.draft && now.slide === open.slide ? now : null,
        bare: !state.showMarks.value,
      };
    }
    this.draw();
  }

  private goToSelection(): void {
    const now = state.selection.value;
    const open = state.slide.value;
    if (now === null || open === null || now.slide !== open.slide) return;
    if (!state.isFigure(now) && now.draft) return; // just marked: it is in view
    this.wanted = now;
    if (this.viewer.world.getItemCount() > 0 && this.facts === open.facts) this.center();
  }

  private center(fresh = false): void {
    const item = this.viewer.world.getItemAt(0);
    if (!item || this.wanted === null || this.facts === null) return;
    const { viewport } = this.viewer;
    const px = CHOSEN_UM_ACROSS / this.facts.mpp;
    const box = item.imageToViewportRectangle(this.wanted.x - px / 2, this.wanted.y - px / 2, px, px);
    const view = viewport.getBounds();
    // Stay at the magnification that the reader chose, unless it is one at which a cell is no more than a dot.
    if (fresh || view.width > MOST_UM_ACROSS / CHOSEN_UM_ACROSS * box.width) viewport.fitBounds(box, true);
    else viewport.panTo(box.getCenter(), true);
    this.wanted = null;
  }

  private onClick(event: OpenSeadragon.CanvasClickEvent): void {
    const item = this.viewer.world.getItemAt(0);
    if (!event.quick || !item || this.facts === null) return;
    const at = item.viewerElementToImageCoordinates(event.position);
    const within = Math.max(CLICK_PX / this.placing().scale, 8 / this.facts.mpp);
    state.chooseAt(at.x, at.y, within);
  }

  private follow(event: PointerEvent): void {
    const box = this.element.getBoundingClientRect();
    this.cursor = new OpenSeadragon.Point(event.clientX - box.left, event.clientY - box.top);
  }

  private placing(): Placing {
    const item = this.viewer.world.getItemAt(0);
    if (!item) return { scale: 1, x: 0, y: 0 };
    const origin = item.imageToViewerElementCoordinates(new OpenSeadragon.Point(0, 0));
    const far = item.imageToViewerElementCoordinates(new OpenSeadragon.Point(1000, 0));
    return { scale: (far.x - origin.x) / 1000, x: origin.x, y: origin.y };
  }

  private draw(): void {
    const ready = this.viewer.world.getItemCount() > 0 && this.scene !== null && this.scene.facts === this.facts;
    const placing = this.placing();
    const start = performance.now();
    this.overlay.draw(ready ? this.scene : null, placing, this.element.clientWidth, this.element.clientHeight);
    this.drawn.push(performance.now() - start);
    if (this.drawn.length > MOST_TIMES) this.drawn.shift();
    if (!ready) return this.onView(null, "");
    const umPerPx = this.scene!.facts.mpp / placing.scale;
    this.onView(scaleBar(umPerPx), magnification(umPerPx));
  }
}

/** OpenSeadragon adds a style element unless it finds its own; the content policy forbids those, so style.css has the rule. */
function forgoInlineStyle(): void {
  const standIn = document.createElementNS("urn:wsiamf", "style");
  standIn.setAttribute("data-openseadragon-mobile-css", "true");
  document.head.append(standIn);
}

/** The longest of 1, 2, 5 x 10^n um that is no longer than 150 px. */
function scaleBar(umPerPx: number): ScaleBar {
  const most = 150 * umPerPx;
  const power = 10 ** Math.floor(Math.log10(most));
  const um = ([5, 2, 1].find((k) => k * power <= most) ?? 1) * power;
  return { px: um / umPerPx, text: um >= 1000 ? `${um / 1000} mm` : `${um} µm` };
}

/** As a microscope's objective would be named: 40x is 0.25 um per px. */
function magnification(umPerPx: number): string {
  const times = 10 / umPerPx;
  return `${times >= 10 ? Math.round(times) : Number(times.toPrecision(2))}×`;
}
