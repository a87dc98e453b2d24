/** The four kinds of file that describe a balancer: how each is told apart, read and written. */
import { accessSync, constants, existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { readKeepalived } from '../config/keepalived/read.ts';
import type { ReadIncludes } from '../config/keepalived/statements.ts';
import { writeKeepalived } from '../config/keepalived/write.ts';
import { readNative } from '../config/native-read.ts';
import { writeNative } from '../config/native-write.ts';
import { createSystemNames } from '../ipvsadm/names.ts';
import { readRulesFile, writeRulesFile } from '../ipvsadm/rules-file.ts';
import { toBlueprint } from '../ldirectord/blueprint.ts';
import { errorText, systemEnvironment } from '../ldirectord/config/environment.ts';
import { ConfigurationError } from '../ldirectord/config/problem.ts';
import { parseConfiguration } from '../ldirectord/config.ts';
import { writeConfiguration } from '../ldirectord/write.ts';
import type { Blueprint, ReadFile, WrittenFile } from '../model/blueprint.ts';
import { IpvsError } from '../model/errors.ts';
import { refuseFile } from '../model/file-problem.ts';
import type { FormatName } from './format-names.ts';

export interface FileFormat {
  readonly name: FormatName;
  /** `uipvs.yaml`, as people call it. */
  readonly title: string;
  /** Tells by the name of the file. */
  readonly names: RegExp;
  /** Tells by what is in it. */
  readonly looks: RegExp;
  /** Rejects with FileRefused. `path` is where other files are looked for that it names. */
  read(text: string, path: string): Promise<ReadFile> | ReadFile;
  /** `heading` goes into a comment where the format has one. */
  write(blueprint: Blueprint, heading: string): WrittenFile;
}

export const FORMATS: Readonly<Record<FormatName, FileFormat>> = {
  ldirectord: {
    name: 'ldirectord',
    title: 'ldirectord.cf',
    names: /\.cf$|^ldirectord/,
    looks: /^virtual6?\s*=/m,
    read: readLdirectord,
    write: (blueprint, heading) => withComment(heading, writeConfiguration(blueprint)),
  },
  keepalived: {
    name: 'keepalived',
    title: 'keepalived.conf',
    names: /^keepalived.*\.conf$/,
    looks: /^\s*(virtual_server(_group)?|global_defs|vrrp_instance)\b/m,
    read: (text, path) => readKeepalived(text, includesBeside(path)),
    write: (blueprint, heading) => withComment(heading, writeKeepalived(blueprint)),
  },
  ipvsadm: {
    name: 'ipvsadm',
    title: 'ipvsadm rules',
    names: /ipvsadm|\.rules$/,
    looks: /^\s*(ipvsadm\s+)?(-A|--add-service)\s/m,
    read: (text) => readRulesFile(text, createSystemNames()),
    write: (blueprint) => writeRulesFile(blueprint),
  },
  yaml: {
    name: 'yaml',
    title: 'uipvs.yaml',
    names: /\.ya?ml$/,
    looks: /^(services|defaults|version|marks|sysctl|timeouts|sync)\s*:/m,
    read: (text) => readNative(text),
    write: (blueprint, heading) => ({ text: writeNative(blueprint, heading === '' ? '' : ` ${heading}`), lost: [] }),
  },
};

/** The text of a file, or of standard input for `-`. Throws IpvsError when it cannot be read. */
export function readText(path: string): string {
  try {
    return readFileSync(path === '-' ? 0 : path, 'utf8');
  } catch (error) {
    throw new IpvsError('ENOENT', `cannot read ${path}: ${errorText(error)}`, { cause: error });
  }
}

/** By the name, then by the content. Throws FileRefused when neither tells. */
export function detectFormat(path: string, text: string): FileFormat {
  const formats = Object.values(FORMATS);
  const name = basename(path);
  const found = formats.find(({ names }) => names.test(name)) ?? formats.find(({ looks }) => looks.test(text));
  if (found !== undefined) return found;
  const known = formats.map(({ name: each, title }) => `${each} (${title})`).join(', ');
  throw refuseFile({ line: 0, column: 0 }, `what kind of file this is cannot be told; say --from with ${known}`);
}

async function readLdirectord(text: string): Promise<ReadFile> {
  try {
    // Reading a file must not create the logs it names.
    return toBlueprint(await parseConfiguration(text, { ...systemEnvironment, refusesAppend: whyNotWritable }));
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error;
    const hint = error.hint?.replace(/^column \d+: /, '');
    const sentence = error.message.trim().replaceAll('\n', ' ');
    throw refuseFile(error, hint === undefined ? sentence : `${sentence}; ${hint}`);
  }
}

function whyNotWritable(path: string): string | null {
  try {
    accessSync(existsSync(path) ? path : dirname(path), constants.W_OK);
    return null;
  } catch (error) {
    return errorText(error);
  }
}

/** Files that `include` names, relative to the file that names them; `*` and `?` in the last part of the path. */
export function includesBeside(path: string): ReadIncludes {
  return (pattern) => {
    const whole = resolve(path === '-' ? '.' : dirname(path), pattern);
    const folder = dirname(whole);
    const escaped = basename(whole).replace(/[.+^${}()|[\]\\]/g, '\\$&');
    const name = new RegExp(`^${escaped.replaceAll('*', '[^/]*').replaceAll('?', '[^/]')}$`);
    try {
      const found = readdirSync(folder).filter((each) => name.test(each));
      return found.sort().map((each) => ({ path: join(folder, each), text: readFileSync(join(folder, each), 'utf8') }));
    } catch {
      return [];
    }
  };
}

function withComment(heading: string, written: WrittenFile): WrittenFile {
  return heading === '' ? written : { ...written, text: `# ${heading}\n${written.text}` };
}
