/**
 * Text of an ldirectord configuration -> its meaning, with the original's reading of every line, its error texts
 * and its line numbers; parsing stops at the first error. Behaviour: ldirectord(8) of resource-agents 4.12, as
 * observed. Beside the original's warnings there are our own for what is accepted but surely not meant.
 */
import type { AddressFamily } from '../model/service.ts';
import { oddCharacterWarnings, oddityOf } from './config/characters.ts';
import { finishVirtual, virtualIdentity } from './config/effective.ts';
import { type ParseEnvironment, systemEnvironment } from './config/environment.ts';
import { defaultGlobals, GLOBAL_DIRECTIVES } from './config/global-directives.ts';
import { ConfigurationError, type ConfigurationWarning, nearestWord, type Place } from './config/problem.ts';
import { globalTrapWarnings, trapWarnings } from './config/traps.ts';
import type { Configuration, VirtualServer } from './config/types.ts';
import type { Written } from './config/values.ts';
import { type ResolvedBlock, VirtualBlock } from './config/virtual-block.ts';

/** A longer line is surely a mistake; the patterns below take the square of its length. Comments may be longer. */
const LINE_LENGTH_MAX = 4_096;
/** Of all blocks together. */
const REAL_SERVERS_MAX = 65_536;

/** Rejects with a ConfigurationError. */
export async function parseConfiguration(
  text: string,
  environment: ParseEnvironment = systemEnvironment,
): Promise<Configuration> {
  return new Reader(text, environment).read();
}

class Reader {
  readonly #lines: readonly string[];
  readonly #environment: ParseEnvironment;
  readonly #globals = defaultGlobals();
  readonly #globalLines: Record<string, number> = {};
  readonly #blocks: ResolvedBlock[] = [];
  readonly #identities = new Set<string>();
  readonly #warnings: ConfigurationWarning[] = [];
  #realServers = 0;

  constructor(text: string, environment: ParseEnvironment) {
    // Every line keeps its own newline: some error texts repeat it.
    this.#lines = text.match(/[^\n]*\n|[^\n]+$/g) ?? [];
    this.#environment = environment;
  }

  async read(): Promise<Configuration> {
    try {
      return await this.#readAll();
    } catch (error) {
      if (!(error instanceof ConfigurationError)) throw error;
      throw error.withRemark(oddityOf(this.#lines[error.line - 1] ?? ''));
    }
  }

  async #readAll(): Promise<Configuration> {
    this.#refuseLongLines();
    let index = 0;
    while (index < this.#lines.length) {
      const head = /^virtual(6)?\s*=\s*([^\n]*)/.exec(this.#lines[index]);
      if (head === null) {
        await this.#readGlobal(index);
        index += 1;
      } else {
        index = await this.#readBlock(index, head[1] === undefined ? 'ipv4' : 'ipv6', head[2]);
      }
    }
    const virtuals = this.#blocks.map((block) => finishVirtual(block, this.#globals));
    this.#warnAboutWhole(virtuals);
    return { globals: this.#globals, globalLines: this.#globalLines, virtuals, warnings: this.#warnings };
  }

  #refuseLongLines(): void {
    const index = this.#lines.findIndex((raw) => raw.length > LINE_LENGTH_MAX && !/^\s*#/.test(raw));
    if (index < 0) return;
    throw new ConfigurationError({ line: index + 1, column: LINE_LENGTH_MAX + 1 }, 'line too long', {
      expected: `at most ${LINE_LENGTH_MAX} characters`,
    });
  }

  async #readGlobal(index: number): Promise<void> {
    const raw = this.#lines[index];
    if (/^\s*(#|$)/.test(raw)) return;
    const line = raw.replace(/\n$/, '');
    const place = placeOf(index, raw);
    if (/^supervised\s*$/.test(line)) {
      this.#globals.supervised = true;
      this.#written(place, '').warn('please update your config not to use a bare supervised directive', 'ldirectord');
      return;
    }
    const parts = /^([a-z0-9]+)\s*=\s*(.*)$/s.exec(line);
    const name = line.startsWith('supervised') ? 'supervised' : (parts?.[1] ?? '');
    const directive = Object.hasOwn(GLOBAL_DIRECTIVES, name) ? GLOBAL_DIRECTIVES[name] : undefined;
    const value = parts?.[2] ?? '';
    const inner = /^"(.*)"/s.exec(value);
    if (directive === undefined || (directive.form === 'quoted' && inner === null)) {
      throw unknownGlobal(raw, place, directive === undefined ? null : name);
    }
    this.#globalLines[name] = index + 1;
    await directive.apply(this.#globals, this.#written(place, directive.form === 'quoted' ? inner![1] : value));
  }

  /** Answers the index of the line that ended the block; that line is read again as a global line or next block. */
  async #readBlock(start: number, family: AddressFamily, value: string): Promise<number> {
    const block = new VirtualBlock(this.#written(placeOf(start, this.#lines[start]), value), family);
    let index = start + 1;
    for (; index < this.#lines.length; index++) {
      const raw = this.#lines[index];
      if (/^\s*#/.test(raw)) continue;
      const command = /^ {4,}([^\n]+)/.exec(raw.replace(/#[^\n]*/, '').replaceAll('\t', '    '));
      if (command === null) break;
      block.accept(command[1], raw, this.#written(placeOf(index, raw), ''));
    }
    const resolved = await block.resolve();
    const identity = virtualIdentity(resolved.key);
    // A virtual line without any line after it is read twice by the original.
    if (this.#identities.has(identity) || (index === start + 1 && index === this.#lines.length)) {
      const line = Math.min(index + 1, this.#lines.length);
      throw new ConfigurationError({ line, column: 1 }, 'duplicate virtual server', {
        expected: this.#identities.has(identity)
          ? `another address, port or protocol than ${identity}, which is already there`
          : 'at least a comment line after the last virtual line',
      });
    }
    this.#identities.add(identity);
    this.#blocks.push(resolved);
    this.#realServers += resolved.real.length;
    if (this.#realServers > REAL_SERVERS_MAX) {
      throw new ConfigurationError(placeOf(start, this.#lines[start]), 'too many real servers', {
        expected: `at most ${REAL_SERVERS_MAX} in all blocks up to here`,
      });
    }
    return index;
  }

  #warnAboutWhole(virtuals: readonly VirtualServer[]): void {
    for (const virtual of virtuals) {
      if (virtual.own.checkIntervalSeconds !== null && !this.#globals.fork) {
        const text = `checkinterval in virtual service ${virtualIdentity(virtual.key)} ignored when fork=no`;
        this.#warnings.push({ line: 0, text, origin: 'ldirectord' });
      }
    }
    this.#warnings.push(...globalTrapWarnings(this.#globals, this.#globalLines));
    for (const virtual of virtuals) this.#warnings.push(...trapWarnings(virtual));
    this.#warnings.push(...oddCharacterWarnings(this.#lines));
  }

  #written(place: Place, value: string): Written {
    return {
      value,
      place,
      raw: this.#lines[place.line - 1],
      environment: this.#environment,
      warn: (text, origin = 'uipvs') => this.#warnings.push({ line: place.line, text, origin }),
    };
  }
}

/** Column of the value, or of the directive when there is none. */
function placeOf(index: number, raw: string): Place {
  const begin = Math.max(0, raw.search(/\S/));
  const value = /^\s*[A-Za-z0-9]+\s*=\s*(?=\S)/.exec(raw);
  return { line: index + 1, column: (value === null ? begin : value[0].length) + 1 };
}

function unknownGlobal(raw: string, place: Place, unquoted: string | null): ConfigurationError {
  const text = `Unknown command ${raw} `;
  if (unquoted !== null) {
    return new ConfigurationError(place, text, { expected: `${unquoted}="..." with double quotes` });
  }
  const atStart = { line: place.line, column: Math.max(0, raw.search(/\S/)) + 1 };
  const name = /^[A-Za-z0-9_-]*/.exec(raw.trim())![0];
  const names = [...Object.keys(GLOBAL_DIRECTIVES), 'virtual', 'virtual6'];
  if (/^\s/.test(raw)) {
    return new ConfigurationError(atStart, text, {
      expected:
        'a global directive in the first column, or the line to belong to a block: indented by four blanks or a tab, ' +
        'without an empty line between it and its virtual line',
    });
  }
  if (names.includes(name)) return new ConfigurationError(atStart, text, { expected: `${name}=VALUE` });
  return new ConfigurationError(atStart, text, {
    expected: 'a global directive',
    nearest: nearestWord(name, names),
  });
}
