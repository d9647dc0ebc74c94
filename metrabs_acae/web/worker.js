// The networks, away from the page's own thread so that it stays usable while they compute. One message in, one out:
// {id, method, args} -> {id, result} or {id, error}; while loading also {progress: bytes}.

const sessions = {};
let ort, picture;

const methods = {
  /**
   * @param runtimes the page's description of runtime/: {wasm: {...}, webgpu: {...}}, each {script, module, binary}
   * @param models {pose: file, detector: file}
   * @param device "wasm", "webgpu" or "" for the better one
   * @returns the device that is used
   */
  async load({ runtimes, models, device }) {
    const files = Object.fromEntries(Object.entries(models).map(([name, file]) => [name, download(file)]));
    Object.values(files).forEach(promise => promise.catch(() => {})); // said when awaited
    const wanted = device || ((await hasGpu()) ? "webgpu" : "wasm");
    for (const kind of new Set([wanted, "wasm"])) {
      try {
        await start(runtimes[kind], kind, files);
        return kind;
      } catch (error) {
        if (kind === "wasm") throw error;
      }
    }
  },

  /** Takes the picture for the next calls. @returns {boxes, scores} of the people in it, float32 */
  async detect({ bitmap, threshold, overlap }) {
    picture = tensorOf(bitmap);
    const { boxes, scores } = await sessions.detector.run({
      image: picture,
      detector_threshold: new ort.Tensor("float32", [threshold], []),
      detector_nms_iou_threshold: new ort.Tensor("float32", [overlap], []),
    });
    return { boxes: boxes.data, scores: scores.data };
  },

  /** Computes once with a small black picture: browsers compile what is computed, and throw if they lack something. */
  async warmUp() {
    await methods.detect({ bitmap: await createImageBitmap(new ImageData(64, 64)), threshold: 0.3, overlap: 0.5 });
    await methods.pose({ boxes: new Float32Array([8, 8, 32, 48]), intrinsics: [80, 80, 31.5, 31.5] });
  },

  /** @returns {poses3d, poses2d, uncertainty, entropy} of the people in boxes of the picture, float32 */
  async pose({ boxes, intrinsics: [fx, fy, cx, cy] }) {
    const outputs = await sessions.pose.run({
      image: picture,
      boxes: new ort.Tensor("float32", boxes, [boxes.length / 4, 4]),
      intrinsic_matrix: new ort.Tensor("float32", [fx, 0, cx, 0, fy, cy, 0, 0, 1], [3, 3]),
      distortion_coeffs: new ort.Tensor("float32", new Float32Array(12), [12]),
      world_up_vector: new ort.Tensor("float32", [0, -1, 0], [3]),
      num_aug: new ort.Tensor("int32", [1], []),
    });
    return Object.fromEntries(Object.entries(outputs).map(([name, tensor]) => [name, tensor.data]));
  },
};

onmessage = async ({ data: { id, method, args } }) => {
  try {
    postMessage({ id, result: await methods[method](args) });
  } catch (error) {
    postMessage({ id, error: String(error?.message ?? error) });
  }
};

async function hasGpu() {
  const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
  return Boolean(adapter && !(adapter.info?.isFallbackAdapter ?? adapter.isFallbackAdapter));
}

async function start({ script, module, binary }, kind, files) {
  const [loaded, wasmBinary] = await Promise.all([import(script), download(binary)]);
  ort = loaded;
  ort.env.logLevel = "error";
  // Threads need headers that a plain file server does not send.
  Object.assign(ort.env.wasm, { numThreads: 1, wasmPaths: { mjs: new URL(module, location).href }, wasmBinary });
  const options = { executionProviders: [kind], logSeverityLevel: 3 };
  // WebAssembly computes no faster for what is optimized when it is loaded, and the optimizer must be compiled.
  if (kind === "wasm") options.graphOptimizationLevel = "disabled";
  for (const [name, file] of Object.entries(files)) sessions[name] = await ort.InferenceSession.create(await file, options);
  if (kind !== "wasm") await methods.warmUp();
}

async function download(file) {
  const answer = await fetch(file);
  if (!answer.ok) throw new Error(`${file} cannot be loaded (${answer.status} ${answer.statusText}).`);
  const parts = [], reader = answer.body.getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    parts.push(part.value);
    postMessage({ progress: part.value.length });
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

/** [H, W, 3] uint8 of a bitmap. */
function tensorOf(bitmap) {
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const { data } = context.getImageData(0, 0, width, height);
  const rgb = new Uint8Array(width * height * 3);
  for (let from = 0, to = 0; to < rgb.length; from += 4, to += 3) {
    rgb[to] = data[from];
    rgb[to + 1] = data[from + 1];
    rgb[to + 2] = data[from + 2];
  }
  return new ort.Tensor("uint8", rgb, [height, width, 3]);
}
