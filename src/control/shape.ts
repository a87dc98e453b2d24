/**
 * The form of API input, as data: one description is read by the validator and by the OpenAPI document.
 * Only the form is judged here (is this a number in range, is this field known). Whether the wish makes sense
 * is for the data plane to say.
 */
import { IpvsError } from '../model/errors.ts';
import { suggestion } from './nearest.ts';

export type Shape =
  | { readonly kind: 'string'; readonly lengthMax: number; readonly oneOf?: readonly string[] }
  | { readonly kind: 'integer'; readonly min: number; readonly max: number }
  /** Any number that JSON can say. */
  | { readonly kind: 'number' }
  | { readonly kind: 'boolean' }
  | { readonly kind: 'list'; readonly of: Shape; readonly itemsMax: number }
  | { readonly kind: 'nullable'; readonly of: Shape }
  /** The first alternative whose `tell` field is there decides; the last is the one for everything else. */
  | { readonly kind: 'either'; readonly options: readonly { readonly tell: string; readonly shape: Shape }[] }
  | { readonly kind: 'object'; readonly fields: Readonly<Record<string, Field>> };

export interface Field {
  readonly shape: Shape;
  readonly required: boolean;
}

export const text = (lengthMax = 256): Shape => ({ kind: 'string', lengthMax });
export const word = (...oneOf: string[]): Shape => ({ kind: 'string', lengthMax: 64, oneOf });
export const integer = (min: number, max: number): Shape => ({ kind: 'integer', min, max });
export const number: Shape = { kind: 'number' };
export const boolean: Shape = { kind: 'boolean' };
export const list = (of: Shape, itemsMax: number): Shape => ({ kind: 'list', of, itemsMax });
export const nullable = (of: Shape): Shape => ({ kind: 'nullable', of });

type OptionalKeys<T> = { [K in keyof T]-?: Record<never, never> extends Pick<T, K> ? K : never }[keyof T];

/**
 * The shape of the type `T`: every field of `T` must be named, the optional ones in the second argument.
 * A field added to the model and forgotten here is a type error.
 */
export function object<T>(
  required: Readonly<Record<Exclude<keyof T, OptionalKeys<T>>, Shape>>,
  optional: Readonly<Record<OptionalKeys<T>, Shape>>,
): Shape {
  const fields: Record<string, Field> = {};
  for (const [name, shape] of Object.entries<Shape>(required)) fields[name] = { shape, required: true };
  for (const [name, shape] of Object.entries<Shape>(optional)) fields[name] = { shape, required: false };
  return { kind: 'object', fields };
}

/** Throws EINVAL with a sentence that names the place (`addService.service.key.port`) when `value` has another form. */
export function checkShape(value: unknown, shape: Shape, at: string): void {
  switch (shape.kind) {
    case 'string':
      if (typeof value !== 'string') throw wrong(at, 'a text', value);
      if (shape.oneOf && !shape.oneOf.includes(value)) {
        throw refuse(`${at} must be ${listed(shape.oneOf)}, not ${describe(value)}${suggestion(value, shape.oneOf)}`);
      }
      if (value.length > shape.lengthMax) {
        throw refuse(`${at} may have ${shape.lengthMax} characters and has ${value.length}`);
      }
      return;
    case 'integer':
      if (!Number.isInteger(value) || (value as number) < shape.min || (value as number) > shape.max) {
        throw wrong(at, `a whole number from ${shape.min} to ${shape.max}`, value);
      }
      return;
    case 'number':
      if (typeof value !== 'number') throw wrong(at, 'a number', value);
      return;
    case 'boolean':
      if (typeof value !== 'boolean') throw wrong(at, 'true or false', value);
      return;
    case 'list':
      if (!Array.isArray(value)) throw wrong(at, 'a list', value);
      if (value.length > shape.itemsMax) throw refuse(`${at} may have ${shape.itemsMax} items and has ${value.length}`);
      value.forEach((item, index) => {
        checkShape(item, shape.of, `${at}[${index}]`);
      });
      return;
    case 'nullable':
      if (value !== null) checkShape(value, shape.of, at);
      return;
    case 'either': {
      const has = (name: string): boolean => isRecord(value) && Object.hasOwn(value, name);
      const chosen = shape.options.find(({ tell }) => has(tell)) ?? shape.options[shape.options.length - 1];
      checkShape(value, chosen.shape, at);
      return;
    }
    case 'object':
      checkFields(value, shape.fields, at);
  }
}

function checkFields(value: unknown, fields: Readonly<Record<string, Field>>, at: string): void {
  if (!isRecord(value)) throw wrong(at, 'an object', value);
  for (const name of Object.keys(value)) {
    if (!Object.hasOwn(fields, name)) {
      throw refuse(`${at} has no field ${describe(name)}${suggestion(name, Object.keys(fields))}`);
    }
  }
  for (const [name, field] of Object.entries(fields)) {
    if (Object.hasOwn(value, name)) checkShape(value[name], field.shape, `${at}.${name}`);
    else if (field.required) throw refuse(`${at}.${name} is missing`);
  }
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A value in a few words: never longer than a line, whatever came in. */
export function describe(value: unknown): string {
  if (typeof value === 'string') return value.length > 60 ? `a text of ${value.length} characters` : `"${value}"`;
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object' && value !== null) return 'an object';
  return String(value);
}

function wrong(at: string, expected: string, value: unknown): IpvsError {
  return refuse(`${at} must be ${expected}, not ${describe(value)}`);
}

function refuse(message: string): IpvsError {
  return new IpvsError('EINVAL', message);
}

function listed(words: readonly string[]): string {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`;
}
