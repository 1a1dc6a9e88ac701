// Runs a model beside the page, so that typing never waits for it. Messages in: {id, model} loads a model;
// {id, bytes, multipliers} reads a text. Messages out: {id, ...} with the result, or {id, error}.
import * as ort from "./runtime/ort.wasm.bundle.min.mjs";

// Several threads need shared memory, which requires special headers from the server; one thread works everywhere.
ort.env.wasm.numThreads = globalThis.crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency || 1) : 1;
ort.env.wasm.wasmPaths = { wasm: new URL("./runtime/ort-wasm-simd-threaded.wasm", import.meta.url).href };

const sessions = new Map(); // by the model's file: a promise of its session

function open(file) {
  if (!sessions.has(file)) {
    const options = { executionProviders: ["wasm"], graphOptimizationLevel: "all" };
    const loading = ort.InferenceSession.create(new URL(file, import.meta.url).href, options);
    loading.catch(() => sessions.delete(file)); // a later attempt may find the network back
    sessions.set(file, loading);
  }
  return sessions.get(file);
}

// What the model makes of tokens: increments [layer][token] (mean over heads), surprisal [token] and entropy [token] in
// nats, and the logits [token, size]. The first token is the document mark, which nothing precedes.
async function read({ file, tokens, multipliers, numLayers }) {
  const session = await open(file);
  const length = tokens.length;
  const feeds = {
    token_ids: new ort.Tensor("int64", BigInt64Array.from(tokens, BigInt), [1, length]),
    multipliers: new ort.Tensor("float32", multipliers ?? new Float32Array(numLayers * length).fill(1), [numLayers, length]),
  };
  const { logits, increments } = await session.run(feeds);
  const [, heads] = increments.dims;
  const steps = Array.from({ length: numLayers }, (_, layer) => {
    const row = new Float64Array(length);
    for (let head = 0; head < heads; head++)
      for (let token = 0; token < length; token++)
        row[token] += increments.data[(layer * heads + head) * length + token] / heads;
    return row;
  });
  const size = logits.dims[2];
  return { increments: steps, logits: logits.data, size, ...difficulties(logits.data, tokens, size) };
}

function difficulties(logits, tokens, size) {
  const length = tokens.length;
  const surprisal = new Float64Array(length);
  const entropy = new Float64Array(length);
  for (let token = 0; token < length; token++) {
    const row = logits.subarray(token * size, (token + 1) * size);
    let largest = -Infinity;
    for (const value of row) if (value > largest) largest = value;
    let total = 0;
    let weighted = 0;
    for (const value of row) {
      const weight = Math.exp(value - largest);
      total += weight;
      weighted += weight * (value - largest);
    }
    const logTotal = Math.log(total);
    entropy[token] = logTotal - weighted / total;
    if (token + 1 < length) surprisal[token + 1] = logTotal - (row[tokens[token + 1]] - largest);
  }
  return { surprisal, entropy };
}

self.onmessage = async ({ data }) => {
  try {
    const result = data.tokens ? await read(data) : (await open(data.file), {});
    self.postMessage({ id: data.id, ...result }, result.logits ? [result.logits.buffer] : []);
  } catch (error) {
    self.postMessage({ id: data.id, error: String(error?.message ?? error) });
  }
};
