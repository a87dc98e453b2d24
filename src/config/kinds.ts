/**
 * What may stand at a place of the native file, as data with a function: each kind reads a part of the tree, saying
 * everything that is wrong with it, and describes itself as JSON Schema (draft 2020-12), so that editors know the
 * same file as the reader.
 */
import { suggestion } from '../control/nearest.ts';
import type { FileProblem, Place } from '../model/file-problem.ts';
import type { MapTree, ScalarTree, Tree } from './yaml.ts';

export type JsonSchema = Readonly<Record<string, unknown>>;

export interface Kind<T> {
  /** The value, or `null` after a problem was told. */
  read(tree: Tree, at: string, problems: FileProblem[]): { readonly value: T } | null;
  readonly schema: JsonSchema;
}

export interface Field<T> {
  readonly kind: Kind<T>;
  readonly required: boolean;
}

export type Fields = Readonly<Record<string, Field<unknown>>>;
type Values<F extends Fields> = { readonly [K in keyof F]?: F[K] extends Field<infer T> ? T : never };

/** A map that was read: its values by name, and where each of them stands. */
export interface Section<F extends Fields> {
  readonly place: Place;
  readonly places: Readonly<Record<string, Place>>;
  readonly said: Values<F>;
}

export function optional<T>(kind: Kind<T>, description: string): Field<T> {
  return { kind: { ...kind, schema: { description, ...kind.schema } }, required: false };
}

export function required<T>(kind: Kind<T>, description: string): Field<T> {
  return { kind: { ...kind, schema: { description, ...kind.schema } }, required: true };
}

/** A map with these names and no others. */
export function section<F extends Fields>(fields: F, describedAs = 'a map'): Kind<Section<F>> {
  const names = Object.keys(fields);
  return {
    schema: {
      type: 'object',
      properties: Object.fromEntries(names.map((name) => [name, fields[name]!.kind.schema])),
      required: names.filter((name) => fields[name]!.required),
      additionalProperties: false,
    },
    read(tree, at, problems) {
      if (tree.type !== 'map') return wrong(tree, at, describedAs, problems);
      const before = problems.length;
      const places: Record<string, Place> = {};
      const values: Record<string, unknown> = {};
      for (const { name, place, value } of tree.entries) {
        const field = Object.hasOwn(fields, name) ? fields[name] : undefined;
        if (field === undefined) {
          problems.push({ place, text: `${at === '' ? 'there' : at} ${unknownName(at, name, names)}` });
          continue;
        }
        places[name] = place;
        // A name with nothing behind it counts as not written.
        if (value.type === 'scalar' && value.value === null && value.text === '') continue;
        const read = field.kind.read(value, at === '' ? name : `${at}.${name}`, problems);
        if (read !== null) values[name] = read.value;
      }
      for (const name of names) {
        if (fields[name]!.required && !Object.hasOwn(places, name)) {
          problems.push({ place: tree.place, text: `${at === '' ? name : `${at}.${name}`} is missing` });
        }
      }
      if (problems.length > before) return null;
      return { value: { place: tree.place, places, said: values as Values<F> } };
    },
  };
}

function unknownName(at: string, name: string, names: readonly string[]): string {
  const hint = suggestion(name, names) || `; the names here are ${names.join(', ')}`;
  return `${at === '' ? 'is' : 'has'} no "${name}"${hint}`;
}

export function listOf<T>(kind: Kind<T>): Kind<readonly T[]> {
  return {
    schema: { type: 'array', items: kind.schema },
    read(tree, at, problems) {
      if (tree.type !== 'list') return wrong(tree, at, 'a list', problems);
      const before = problems.length;
      const values: T[] = [];
      tree.items.forEach((item, index) => {
        const read = kind.read(item, `${at}[${index}]`, problems);
        if (read !== null) values.push(read.value);
      });
      return problems.length > before ? null : { value: values };
    },
  };
}

/** The value with the place where it begins. */
export function located<T>(kind: Kind<T>): Kind<{ readonly place: Place; readonly value: T }> {
  return {
    schema: kind.schema,
    read(tree, at, problems) {
      const read = kind.read(tree, at, problems);
      return read === null ? null : { value: { place: tree.place, value: read.value } };
    },
  };
}

/** One item stands for a list of one. */
export function oneOrMore<T>(kind: Kind<T>): Kind<readonly T[]> {
  const many = listOf(kind);
  return {
    schema: { anyOf: [kind.schema, many.schema] },
    read(tree, at, problems) {
      if (tree.type === 'list') return many.read(tree, at, problems);
      const one = kind.read(tree, at, problems);
      return one === null ? null : { value: [one.value] };
    },
  };
}

/** A word for the usual case, or a map that says more. */
export function shortOrLong<S, L>(short: Kind<S>, long: Kind<L>): Kind<S | L> {
  return {
    schema: { anyOf: [short.schema, long.schema] },
    read: (tree, at, problems) =>
      tree.type === 'map' ? long.read(tree, at, problems) : short.read(tree, at, problems),
  };
}

/**
 * A scalar in a form of its own. `parse` answers the value or a problem as text that completes "... must be": it gets
 * what was written without quotes, also for numbers.
 */
export function word<T>(expected: string, schema: JsonSchema, parse: (text: string) => T | null): Kind<T> {
  return {
    schema,
    read(tree, at, problems) {
      if (tree.type !== 'scalar' || tree.value === null) return wrong(tree, at, expected, problems);
      const value = parse(tree.text);
      return value === null ? wrong(tree, at, expected, problems) : { value };
    },
  };
}

export function oneOf<const T extends string>(words: readonly T[]): Kind<T> {
  const expected = words.length > 4 ? `one of ${words.join(', ')}` : words.join(' or ');
  return {
    schema: { enum: words },
    read(tree, at, problems) {
      const text = tree.type === 'scalar' ? tree.text : '';
      const found = words.find((each) => each === text);
      if (found !== undefined) return { value: found };
      const hint = suggestion(text, words);
      if (hint === '' || words.length <= 8) return wrong(tree, at, expected, problems, hint);
      problems.push({ place: tree.place, text: `${at} cannot be "${text}"${hint}` });
      return null;
    },
  };
}

/** Any text; a number or a yes in its place is taken as it is written. */
export function text(expected = 'a text', { mayBeEmpty = false } = {}): Kind<string> {
  return {
    schema: { type: ['string', 'number'] },
    read(tree, at, problems) {
      if (tree.type !== 'scalar' || tree.value === null) return wrong(tree, at, expected, problems);
      const value = typeof tree.value === 'string' ? tree.value : tree.text;
      if (value === '' && !mayBeEmpty) return wrong(tree, at, `${expected} that is not empty`, problems);
      return { value };
    },
  };
}

export function integer(min: number, max: number): Kind<number> {
  return {
    schema: { type: 'integer', minimum: min, maximum: max },
    read(tree, at, problems) {
      const value = tree.type === 'scalar' ? tree.value : null;
      if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return { value };
      return wrong(tree, at, `a whole number from ${min} to ${max}`, problems);
    },
  };
}

export const yesNo: Kind<boolean> = {
  schema: { type: 'boolean' },
  read(tree, at, problems) {
    const value = tree.type === 'scalar' ? tree.value : null;
    if (typeof value === 'boolean') return { value };
    const hint = tree.type === 'scalar' ? ({ yes: 'true', on: 'true', no: 'false', off: 'false' } as const) : {};
    const meant = Object.entries(hint).find(([written]) => written === (tree as ScalarTree).text.toLowerCase())?.[1];
    return wrong(tree, at, 'true or false', problems, meant === undefined ? '' : `; write ${meant}`);
  },
};

const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const DURATION_MS_MAX = 366 * 86_400_000;

/** `2s`, `500ms`, `15m`, `1h`, `1d`, in milliseconds; `wholeSeconds`: nothing finer. */
export function duration({ wholeSeconds = false, minMs = 0 } = {}): Kind<number> {
  const expected = wholeSeconds ? 'a time in whole seconds such as 30s or 5m' : 'a time such as 2s, 500ms or 5m';
  return {
    schema: { type: 'string', pattern: '^[0-9]+(\\.[0-9]+)?(ms|s|m|h|d)$' },
    read(tree, at, problems) {
      if (tree.type !== 'scalar') return wrong(tree, at, expected, problems);
      const parts = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(tree.text);
      if (parts === null) {
        const bare = /^\d+$/.test(tree.text) ? `; did you mean ${tree.text}s?` : '';
        return wrong(tree, at, expected, problems, bare);
      }
      const value = Math.round(Number(parts[1]) * UNITS_MS[parts[2] as string]! * 1_000) / 1_000;
      const fits = Number.isInteger(wholeSeconds ? value / 1_000 : value);
      if (!fits || value < minMs || value > DURATION_MS_MAX) {
        const bounds = fits ? ` of at least ${formatDuration(minMs)} and at most a year` : '';
        return wrong(tree, at, `${expected}${bounds}`, problems);
      }
      return { value };
    },
  };
}

/** The shortest way to write it: `2s`, `1500ms`, `5m`. */
export function formatDuration(ms: number): string {
  const unit = (['d', 'h', 'm', 's'] as const).find((each) => ms > 0 && ms % UNITS_MS[each]! === 0) ?? 'ms';
  return ms === 0 ? '0s' : `${ms / UNITS_MS[unit]!}${unit}`;
}

/** Says that `tree` is not what was expected here, and answers `null`. */
export function wrong(tree: Tree, at: string, expected: string, problems: FileProblem[], hint = ''): null {
  const name = at === '' ? 'the file' : at;
  problems.push({ place: tree.place, text: `${name} must be ${expected}, not ${describeTree(tree)}${hint}` });
  return null;
}

function describeTree(tree: Tree): string {
  if (tree.type === 'map') return describeMap(tree);
  if (tree.type === 'list') return 'a list';
  if (tree.value === null) return 'empty';
  return tree.text.length > 60 ? `a text of ${tree.text.length} characters` : `"${tree.text}"`;
}

function describeMap({ entries }: MapTree): string {
  return entries.length === 0 ? 'an empty map' : `a map with "${entries[0]!.name}"`;
}
