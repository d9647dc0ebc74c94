// Pictures of files and of the webcam.

const MAX_PIXELS = 16e6;

/** An upright picture with the pixels as they stand in the file. Throws a sentence if it is none. */
export async function readPicture(file) {
  if (!file.size) throw new Error(`${file.name} is empty.`);
  const options = { imageOrientation: "from-image", colorSpaceConversion: "none", premultiplyAlpha: "none" };
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, options);
  } catch {
    const advice = /\.hei[cf]$/i.test(file.name) ? " Save it as JPEG first." : "";
    throw new Error(`${file.name} is not a picture that this browser can read.${advice}`);
  }
  const scale = Math.sqrt(MAX_PIXELS / (bitmap.width * bitmap.height));
  if (scale >= 1) return bitmap;
  const size = { resizeWidth: Math.round(bitmap.width * scale), resizeHeight: Math.round(bitmap.height * scale) };
  const smaller = await createImageBitmap(bitmap, { ...size, resizeQuality: "high" });
  bitmap.close();
  return smaller;
}

export class Webcam {
  /** Throws a sentence if there is none or it may not be used. */
  async start() {
    if (!navigator.mediaDevices) throw new Error("Browsers lend the webcam to pages from https:// or http://localhost only.");
    try {
      this.stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 640 } } });
    } catch (error) {
      const reasons = { NotAllowedError: "its use was not allowed", NotFoundError: "there is none" };
      throw new Error(`The webcam cannot be used: ${reasons[error.name] ?? error.message}.`);
    }
    this.video = Object.assign(document.createElement("video"), { srcObject: this.stream, muted: true, playsInline: true });
    await this.video.play();
  }

  picture() {
    return createImageBitmap(this.video);
  }

  stop() {
    this.stream?.getTracks().forEach(track => track.stop());
    this.stream = null;
  }
}
