// Runs a model beside the page, so that typing never waits for it. Messages in: {file, tokens, multipliers, numLayers},
// a text to read. Messages out: the result, or {error}.
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

// The latest readings: a text that begins like one of them is read on from where they part, so a key at the end of a text
// costs one token. A reading: file, tokens, multipliers [layer * token], and by token what the model made of it:
// increments [layer][token] (mean over numHeads), surprisal and entropy [token] in nats, logits [token * size]; and the
// state after its last token, by the name of the graph's input.
const MOST_READINGS = 6;
let readings = [];

async function read({ file, tokens, multipliers, numLayers }) {
  const session = await open(file);
  multipliers ??= new Float32Array(numLayers * tokens.length).fill(1);
  const question = { file, tokens, multipliers, numLayers };
  const [base, numShared] = longestStart(question);
  const isKnown = numShared === tokens.length;
  const reading = isKnown ? startOf(session, question, base) : await readOn(session, question, base, numShared);
  const isRepeated = isKnown && base.tokens.length === tokens.length;
  readings = [reading, ...readings.filter((one) => !isRepeated || one !== base)].slice(0, MOST_READINGS);
  const { increments, numHeads, surprisal, entropy, logits, size } = reading;
  return { increments, numHeads, surprisal, entropy, logits: logits.slice(), size };
}

// The reading that shares most with the start of a question, and how many tokens that is.
function longestStart({ file, tokens, multipliers, numLayers }) {
  let found = [null, 0];
  for (const reading of readings) {
    if (reading.file !== file) continue;
    const most = Math.min(tokens.length, reading.tokens.length);
    const isSame = (token) => {
      if (tokens[token] !== reading.tokens[token]) return false;
      for (let layer = 0; layer < numLayers; layer++)
        if (multipliers[layer * tokens.length + token] !== reading.multipliers[layer * reading.tokens.length + token])
          return false;
      return true;
    };
    let same = 0;
    while (same < most && isSame(same)) same++;
    if (same > found[1]) found = [reading, same];
  }
  return found;
}

// The reading of a text with which a longer one begins.
function startOf(session, question, base) {
  const length = question.tokens.length;
  return {
    ...question, size: base.size, numHeads: base.numHeads, state: stateAfter(session, base, length),
    increments: base.increments.map((row) => row.slice(0, length)), logits: base.logits.slice(0, length * base.size),
    surprisal: base.surprisal.slice(0, length), entropy: base.entropy.slice(0, length),
  };
}

async function readOn(session, { file, tokens, multipliers, numLayers }, base, numKept) {
  const numNew = tokens.length - numKept;
  const newMultipliers = new Float32Array(numLayers * numNew);
  for (let layer = 0; layer < numLayers; layer++)
    newMultipliers.set(multipliers.subarray(layer * tokens.length + numKept, (layer + 1) * tokens.length), layer * numNew);
  const output = await session.run({
    token_ids: new ort.Tensor("int64", BigInt64Array.from(tokens.slice(numKept), BigInt), [1, numNew]),
    multipliers: new ort.Tensor("float32", newMultipliers, [numLayers, numNew]),
    ...stateAfter(session, base, numKept),
  });
  const { logits, increments } = output;
  const size = logits.dims[2];
  const kept = (values, length) => values?.subarray(0, length) ?? [];
  const steps = Array.from({ length: numLayers }, (_, layer) =>
    joined(Float64Array, kept(base?.increments[layer], numKept), meanOverHeads(increments, layer)));
  const allLogits = joined(Float32Array, kept(base?.logits, numKept * size), logits.data);
  const state = Object.fromEntries(
    session.inputNames.slice(2).map((name) => [name, output[name.replace(/^past(_key_values)?/, "present")]]));
  return {
    file, tokens, multipliers, increments: steps, numHeads: increments.dims[1], logits: allLogits, size, state,
    ...difficulties(allLogits, tokens, size, base, numKept),
  };
}

// What a model keeps of the first tokens of a reading; of none, the state before a text.
function stateAfter(session, base, numTokens) {
  return Object.fromEntries(session.inputMetadata.slice(2).map(({ name, type, shape }) => {
    const axis = shape.indexOf("past_token");
    if (base && numTokens) return [name, cut(base.state[name], axis, numTokens)];
    const dims = shape.map((length, index) => (index === axis ? 0 : length));
    return [name, new ort.Tensor(type, [], dims)];
  }));
}

// The start of a tensor along an axis.
function cut(tensor, axis, length) {
  const all = tensor.dims[axis];
  if (all === length) return tensor;
  const width = tensor.dims.slice(axis + 1).reduce((product, dim) => product * dim, 1);
  const numBlocks = tensor.data.length / (all * width);
  const data = new tensor.data.constructor(numBlocks * length * width);
  for (let block = 0; block < numBlocks; block++)
    data.set(tensor.data.subarray(block * all * width, (block * all + length) * width), block * length * width);
  return new ort.Tensor(tensor.type, data, tensor.dims.with(axis, length));
}

function joined(Kind, first, second) {
  const all = new Kind(first.length + second.length);
  all.set(first);
  all.set(second, first.length);
  return all;
}

function meanOverHeads({ data, dims: [, heads, length] }, layer) {
  const row = new Float64Array(length);
  for (let head = 0; head < heads; head++)
    for (let token = 0; token < length; token++) row[token] += data[(layer * heads + head) * length + token] / heads;
  return row;
}

// Surprisal of each token and entropy of what follows it; a reading that the text goes on from knows the first ones.
function difficulties(logits, tokens, size, base, numKept) {
  const surprisal = new Float64Array(tokens.length);
  const entropy = new Float64Array(tokens.length);
  if (numKept) {
    surprisal.set(base.surprisal.subarray(0, numKept));
    entropy.set(base.entropy.subarray(0, numKept));
  }
  for (let token = Math.max(0, numKept - 1); token < tokens.length; token++) {
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
    if (token + 1 < tokens.length) surprisal[token + 1] = logTotal - (row[tokens[token + 1]] - largest);
  }
  return { surprisal, entropy };
}

self.onmessage = async ({ data }) => {
  try {
    const result = await read(data);
    self.postMessage(result, [result.logits.buffer]);
  } catch (error) {
    self.postMessage({ error: String(error?.message ?? error) });
  }
};
