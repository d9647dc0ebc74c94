// The worker's methods as promises.

export class Estimator {
  /** @param onProgress called with the number of bytes that came */
  constructor(onProgress) {
    this.worker = new Worker("worker.js", { type: "module" });
    this.waiting = new Map();
    this.count = 0;
    this.worker.onmessage = ({ data: { id, result, error, progress } }) => {
      if (progress !== undefined) return onProgress(progress);
      const { resolve, reject } = this.waiting.get(id);
      this.waiting.delete(id);
      error === undefined ? resolve(result) : reject(new Error(error));
    };
    this.worker.onerror = event => {
      for (const { reject } of this.waiting.values()) reject(new Error(event.message || "worker.js cannot be loaded."));
      this.waiting.clear();
    };
  }

  call(method, args, transfer = []) {
    return new Promise((resolve, reject) => {
      this.waiting.set(++this.count, { resolve, reject });
      this.worker.postMessage({ id: this.count, method, args }, transfer);
    });
  }
}

/** [fx, fy, cx, cy] of a camera that sees so many degrees along the larger side; (0, 0) is a pixel's centre. */
export function intrinsicsOf(fovDegrees, width, height) {
  const focal = Math.max(width, height) / (2 * Math.tan((fovDegrees * Math.PI) / 360));
  return [focal, focal, (width - 1) / 2, (height - 1) / 2];
}
