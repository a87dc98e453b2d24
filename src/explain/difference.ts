/** Before and after, header by header: which fields are others, which headers are new. */
import { type Field, type Layer, type LayerOptions, layersOf } from './layers.ts';

export interface FieldPair {
  readonly name: string;
  /** `null`: the field is not there on that side. */
  readonly before: string | null;
  readonly after: string | null;
  readonly changed: boolean;
  /** Why, for a changed one. */
  readonly why: string;
}

export interface HeaderPair {
  readonly title: string;
  /** `added`: a tunnel put it in front. */
  readonly change: 'same' | 'changed' | 'added';
  readonly fields: readonly FieldPair[];
  readonly layerBefore: Layer | null;
  readonly layerAfter: Layer | null;
}

export interface FrameDifference {
  readonly headers: readonly HeaderPair[];
  /** Offsets in the frames that differ: of the one before, of the one after. */
  readonly bytesBefore: readonly number[];
  readonly bytesAfter: readonly number[];
}

/** What to say about a changed field: by its layer's kind and its name; `null`: nothing special. */
export type Explain = (layer: Layer, field: string) => string;

export function compareFrames(
  before: Uint8Array,
  after: Uint8Array,
  options: LayerOptions,
  explain: Explain,
): FrameDifference {
  const left = layersOf(before, { guePort: null });
  const right = layersOf(after, options);
  const added = Math.max(0, countHeaders(right) - countHeaders(left));
  const headers: HeaderPair[] = [];
  const bytesBefore: number[] = [];
  const bytesAfter: number[] = [];
  // What a tunnel adds stands behind the link's header.
  const pairs: (readonly [Layer | null, Layer | null])[] = [
    [left[0] ?? null, right[0] ?? null],
    ...right.slice(1, 1 + added).map((layer) => [null, layer] as const),
  ];
  const restLeft = left.slice(1);
  const restRight = right.slice(1 + added);
  for (let index = 0; index < Math.max(restLeft.length, restRight.length); index++) {
    pairs.push([restLeft[index] ?? null, restRight[index] ?? null]);
  }
  for (const [one, other] of pairs) {
    headers.push(pairHeaders(one, other, before, after, explain));
    collectBytes(one, other, before, after, bytesBefore, bytesAfter);
  }
  return { headers, bytesBefore, bytesAfter };
}

function countHeaders(layers: readonly Layer[]): number {
  return layers.filter(({ kind }) => kind !== 'payload').length;
}

function pairHeaders(
  one: Layer | null,
  other: Layer | null,
  before: Uint8Array,
  after: Uint8Array,
  explain: Explain,
): HeaderPair {
  const layer = (other ?? one) as Layer;
  const names = new Set([...(one?.fields ?? []), ...(other?.fields ?? [])].map(({ name }) => name));
  const fields = [...names].map((name): FieldPair => {
    const left = one?.fields.find((field) => field.name === name) ?? null;
    const right = other?.fields.find((field) => field.name === name) ?? null;
    const changed = one !== null && !sameBytes(left, right, before, after);
    return {
      name,
      before: left?.text ?? null,
      after: right?.text ?? null,
      changed,
      why: changed ? explain(layer, name) : '',
    };
  });
  const isAdded = one === null;
  const change = isAdded ? 'added' : fields.some(({ changed }) => changed) ? 'changed' : 'same';
  return { title: layer.title, change, fields, layerBefore: one, layerAfter: other };
}

function sameBytes(left: Field | null, right: Field | null, before: Uint8Array, after: Uint8Array): boolean {
  if (left === null || right === null) return left === right;
  if (left.bytes !== right.bytes) return false;
  for (let i = 0; i < left.bytes; i++) if (before[left.at + i] !== after[right.at + i]) return false;
  return true;
}

function collectBytes(
  one: Layer | null,
  other: Layer | null,
  before: Uint8Array,
  after: Uint8Array,
  bytesBefore: number[],
  bytesAfter: number[],
): void {
  const leftAt = one?.at ?? 0;
  const rightAt = other?.at ?? 0;
  const leftBytes = one === null ? 0 : one.headerEnd - one.at;
  const rightBytes = other === null ? 0 : other.headerEnd - other.at;
  for (let i = 0; i < Math.max(leftBytes, rightBytes); i++) {
    const isLeft = i < leftBytes;
    const isRight = i < rightBytes;
    if (isLeft && isRight && before[leftAt + i] === after[rightAt + i]) continue;
    if (isLeft) bytesBefore.push(leftAt + i);
    if (isRight) bytesAfter.push(rightAt + i);
  }
}
