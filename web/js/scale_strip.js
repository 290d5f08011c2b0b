// @ts-check
/** The pictures of one run, scale by scale, from the server's progress and preview events. No page. */

const MOST = 64; // scales; far more than any picture has

export class ScaleStrip {
  constructor() {
    /** The run whose pictures these are. */
    this.run = "";
    /** Scales of the run; 0 until known. */
    this.total = 0;
    /** @type {(Blob | undefined)[]} by scale; a hole where a preview was dropped on the way */
    this.pictures = [];
    /** How far which run is, as last heard. */
    this.heard = { run: "", scale: 0, total: 0 };
  }

  /** Progress comes before the preview of the same scale; numbers that are none of scales say nothing.
   *  @param {string} run @param {number} scale from 1 @param {number} total */
  progress(run, scale, total) {
    const sound = Number.isInteger(scale) && Number.isInteger(total) && 0 <= scale && scale <= total && total <= MOST;
    if (sound) this.heard = { run, scale, total };
  }

  /** The old run's pictures stay until the new one has its first. @param {string} run @param {Blob} picture */
  preview(run, picture) {
    if (run !== this.run) Object.assign(this, { run, total: 0, pictures: [] });
    const known = this.heard.run === run && this.heard.scale > 0;
    if (known) this.total = this.heard.total;
    if (!known && this.pictures.length >= MOST) return;
    this.pictures[known ? this.heard.scale - 1 : this.pictures.length] = picture;
  }

  /** The finished picture; undefined while the run goes on, or when it ended before its last scale. */
  get finished() {
    return this.total > 0 ? this.pictures[this.total - 1] : undefined;
  }
}
