// @ts-check
/** The pictures of one run, scale by scale, from the server's progress and preview events. No DOM. */

const MAX_SCALES = 64; // far more than any picture has

/** Collects the previews of the latest run. */
export class ScaleStrip {
  constructor() {
    /** The run whose pictures these are. */
    this.run = "";
    /** Number of scales of the run; 0 until known. */
    this.total = 0;
    /** @type {(Blob | undefined)[]} by scale; a hole where a preview was lost */
    this.pictures = [];
    /** The last progress event. */
    this.latest = { run: "", scale: 0, total: 0 };
  }

  /** Progress comes before the preview of the same scale; numbers that are not of scales are ignored.
   *  @param {string} run @param {number} scale from 1 @param {number} total */
  progress(run, scale, total) {
    const valid = Number.isInteger(scale) && Number.isInteger(total) && 0 <= scale && scale <= total;
    if (valid && total <= MAX_SCALES) this.latest = { run, scale, total };
  }

  /**
   * The previous run's pictures stay until the new run's first one arrives.
   * @param {string} run @param {Blob} picture
   */
  preview(run, picture) {
    if (run !== this.run) Object.assign(this, { run, total: 0, pictures: [] });
    const known = this.latest.run === run && this.latest.scale > 0;
    if (known) this.total = this.latest.total;
    if (!known && this.pictures.length >= MAX_SCALES) return;
    this.pictures[known ? this.latest.scale - 1 : this.pictures.length] = picture;
  }

  /** The pictures of a run whose result the server had in its cache. @param {string} run
   *  @param {(Blob | undefined)[]} pictures */
  restore(run, pictures) {
    Object.assign(this, { run, total: pictures.length, pictures: [...pictures] });
  }

  /** The finished picture; undefined during the run, and if it ended before its last scale. */
  get finished() {
    return this.total > 0 ? this.pictures[this.total - 1] : undefined;
  }
}
