/** Messages of LDAP as bytes, as far as a bind and the search for one entry need them. Pure. Source: RFC 4511. */
import {
  type BerElement,
  berElement,
  berInteger,
  berText,
  ENUMERATED,
  readElements,
  readInteger,
  SEQUENCE,
} from './ber.ts';

const VERSION = 3;
const BIND_REQUEST = 0x60;
const BIND_RESPONSE = 0x61;
const UNBIND_REQUEST = 0x42;
const SEARCH_REQUEST = 0x63;
const SEARCH_ENTRY = 0x64;
const SEARCH_DONE = 0x65;
const SEARCH_REFERENCE = 0x73;
const EXTENDED_RESPONSE = 0x78;
const SIMPLE_AUTHENTICATION = 0x80;
const PRESENT_FILTER = 0x87;
const BASE_OBJECT = 0;
const NEVER_DEREFERENCE_ALIASES = 0;
/** Two would be enough to know that it is not one. */
const ENTRIES_MAX = 2;
/** In place of attributes: none of them. */
const NO_ATTRIBUTES = '1.1';

/** RFC 4511, appendix A. */
const RESULT_NAMES: Readonly<Record<number, string>> = {
  0: 'success',
  1: 'operations error',
  2: 'protocol error',
  3: 'time limit exceeded',
  4: 'size limit exceeded',
  7: 'authentication method not supported',
  8: 'stronger authentication required',
  10: 'referral',
  11: 'administrative limit exceeded',
  13: 'confidentiality required',
  32: 'no such object',
  34: 'invalid DN syntax',
  48: 'inappropriate authentication',
  49: 'invalid credentials',
  50: 'insufficient access rights',
  51: 'busy',
  52: 'unavailable',
  53: 'unwilling to perform',
};

export type LdapMessage =
  | {
      readonly kind: 'bind' | 'done' | 'extended';
      readonly id: number;
      readonly code: number;
      readonly diagnostic: string;
    }
  | { readonly kind: 'entry'; readonly id: number; readonly name: string }
  | { readonly kind: 'reference' | 'other'; readonly id: number };

/** Anonymous when both are empty. */
export function bindRequest(id: number, login: string, password: string): Buffer {
  const words = [berInteger(VERSION), berText(login), berText(password, SIMPLE_AUTHENTICATION)];
  return message(id, berElement(BIND_REQUEST, ...words));
}

/** Asks whether the entry `base` is there, without its attributes. */
export function baseSearchRequest(id: number, base: string): Buffer {
  const operation = berElement(
    SEARCH_REQUEST,
    berText(base),
    berInteger(BASE_OBJECT, ENUMERATED),
    berInteger(NEVER_DEREFERENCE_ALIASES, ENUMERATED),
    berInteger(ENTRIES_MAX),
    // No limit of time but our own.
    berInteger(0),
    Buffer.of(0x01, 1, 0),
    berText('objectClass', PRESENT_FILTER),
    berElement(SEQUENCE, berText(NO_ATTRIBUTES)),
  );
  return message(id, operation);
}

export function unbindRequest(id: number): Buffer {
  return message(id, berElement(UNBIND_REQUEST));
}

/** `body`: what stands inside the outermost element. `null` when it is no message of LDAP. */
export function decodeMessage(body: Buffer): LdapMessage | null {
  const [idElement, operation] = readElements(body) ?? [];
  const id = idElement === undefined ? null : readInteger(idElement);
  if (id === null || operation === undefined) return null;
  switch (operation.tag) {
    case BIND_RESPONSE:
      return result('bind', id, operation);
    case SEARCH_DONE:
      return result('done', id, operation);
    case EXTENDED_RESPONSE:
      return result('extended', id, operation);
    case SEARCH_ENTRY: {
      const [name] = readElements(operation.value) ?? [];
      return name === undefined ? null : { kind: 'entry', id, name: name.value.toString('utf8') };
    }
    default:
      return { kind: operation.tag === SEARCH_REFERENCE ? 'reference' : 'other', id };
  }
}

/** `invalid credentials (49)`, with what the server added. */
export function resultText({ code, diagnostic }: { readonly code: number; readonly diagnostic: string }): string {
  const name = RESULT_NAMES[code];
  const text = name === undefined ? `result ${code}` : `${name} (${code})`;
  return diagnostic === '' ? text : `${text}: ${diagnostic}`;
}

function message(id: number, operation: Buffer): Buffer {
  return berElement(SEQUENCE, berInteger(id), operation);
}

function result(kind: 'bind' | 'done' | 'extended', id: number, operation: BerElement): LdapMessage | null {
  const [codeElement, , diagnostic] = readElements(operation.value) ?? [];
  const code = codeElement === undefined ? null : readInteger(codeElement);
  if (code === null || diagnostic === undefined) return null;
  return { kind, id, code, diagnostic: diagnostic.value.toString('utf8') };
}
