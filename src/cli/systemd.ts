/** `uipvs systemd`: prints our systemd units, or puts them where systemd looks. */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Cli } from './cli.ts';
import { USAGE_EXIT_CODE, type Word } from './command-line.ts';
import { SYSCTL_EXAMPLE, UNIT_NAMES, type UnitName, unitText } from './systemd-units.ts';

const DIRECTORY = '/etc/systemd/system';
/** The first line of a file of ours; the sum is that of all lines after it. */
const MARK = /^# Made by `uipvs systemd --install` \(([0-9a-f]{16})\)[^\n]*\n/;
const SYSCTL = 'sysctl';

export function systemdWord(cli: Cli): Word {
  return {
    name: 'systemd',
    summary: 'print or install systemd units for uipvsd and uldirectord',
    operands: '[unit...]',
    operandChoices: [...UNIT_NAMES, SYSCTL],
    options: [
      { flags: '--install', description: 'write the units to the directory' },
      { flags: '--undo', description: 'remove the units that --install wrote, and nothing else' },
      { flags: '--directory <directory>', description: `where units go (default: ${DIRECTORY})` },
      { flags: '--configuration <file>', description: "uldirectord's file (default: /etc/ha.d/ldirectord.cf)" },
      { flags: '--dry-run', description: 'say what would be done' },
    ],
    notes: `Units: ${UNIT_NAMES.join(', ')}; without names both. The name ${SYSCTL} prints an example for /etc/sysctl.d.

A file that somebody else wrote, or has changed since, is never replaced or removed. Changes of your own belong into
\`systemctl edit uipvsd\`.

Exit codes: 0 done, 1 it could not be done, 2 the words were not understood.`,
    run: async ({ operands, install, undo, directory, configuration, dryRun }) => {
      const names = operands as readonly string[];
      const wrong = names.find((name) => name !== SYSCTL && unitNamed(name) === undefined);
      if (wrong !== undefined) return complain(cli, `there is no unit ${wrong}; type ${UNIT_NAMES.join(' or ')}`);
      if (install && undo) return complain(cli, 'type --install or --undo, not both');
      const chosen = names.length === 0 ? UNIT_NAMES : names.map(unitNamed).filter((name) => name !== undefined);
      if (!install && !undo) {
        for (const name of chosen)
          await cli.stdout(headed(name, await textOf(cli, name, configuration), chosen.length));
        if (names.includes(SYSCTL)) await cli.stdout(SYSCTL_EXAMPLE);
        return 0;
      }
      if (names.includes(SYSCTL))
        return complain(cli, `${SYSCTL} is an example; print it and put it where you want it`);
      const steps = await plan(cli, chosen, {
        directory: resolve((directory as string | undefined) ?? DIRECTORY),
        configuration,
        undo: undo === true,
      });
      return carryOut(cli, steps, dryRun === true, undo !== true);
    },
  };
}

function unitNamed(word: string): UnitName | undefined {
  return UNIT_NAMES.find((name) => name === word || name === `${word}.service`);
}

async function complain(cli: Cli, sentence: string): Promise<number> {
  await cli.stderr(`uipvs systemd: ${sentence}\n`);
  return USAGE_EXIT_CODE;
}

async function textOf(cli: Cli, name: UnitName, configuration: unknown): Promise<string> {
  const { programs, notifiesItself } = cli.installation;
  return unitText(name, {
    node: process.execPath,
    programs,
    configuration: configuration === undefined ? null : resolve(configuration as string),
    notifiesItself: (await notifiesItself?.()) ?? true,
  });
}

/** Several units on one screen need their names. */
function headed(name: string, text: string, units: number): string {
  return units > 1 ? `# ${name}\n${text}\n` : text;
}

interface Wanted {
  readonly directory: string;
  readonly configuration: unknown;
  readonly undo: boolean;
}

interface Step {
  readonly path: string;
  /** Reads well behind "would". `null`: nothing is to be done, and `said` says so. */
  readonly text: string | null;
  readonly said: string;
  run(): void;
}

type Refusal = { readonly refusal: string };

async function plan(cli: Cli, names: readonly UnitName[], wanted: Wanted): Promise<(Step | Refusal)[]> {
  const steps: (Step | Refusal)[] = [];
  for (const name of names) {
    const path = join(wanted.directory, name);
    const content = marked(await textOf(cli, name, wanted.configuration));
    const there = existsSync(path) ? readFileSync(path, 'utf8') : null;
    if (wanted.undo) steps.push(planRemoval(path, there));
    else steps.push(planWriting(path, there, content, wanted.directory));
  }
  return steps;
}

function planWriting(path: string, there: string | null, content: string, directory: string): Step | Refusal {
  if (there === content) return { path, text: null, said: `${path} is up to date`, run() {} };
  if (there !== null && !isOurs(there)) {
    return { refusal: `${path} was written or changed by somebody else; move it away first. Nothing was changed` };
  }
  const run = (): void => {
    mkdirSync(directory, { recursive: true });
    writeFileSync(path, content);
  };
  return { path, text: `write ${path}`, said: '', run };
}

function planRemoval(path: string, there: string | null): Step | Refusal {
  if (there === null) return { path, text: null, said: `there is no ${path}`, run() {} };
  if (!isOurs(there)) {
    return { refusal: `${path} was written or changed by somebody else, so it is left; nothing was changed` };
  }
  return { path, text: `remove ${path}`, said: '', run: () => rmSync(path) };
}

/** All or nothing: a refusal comes before the first step. */
async function carryOut(
  cli: Cli,
  steps: readonly (Step | Refusal)[],
  dryRun: boolean,
  installed: boolean,
): Promise<number> {
  const refused = steps.find((step) => 'refusal' in step);
  if (refused !== undefined && 'refusal' in refused) {
    await cli.stderr(`uipvs systemd: ${refused.refusal}\n`);
    return 1;
  }
  let changed = false;
  for (const step of steps as readonly Step[]) {
    if (step.text === null) {
      await cli.stdout(`${step.said}\n`);
      continue;
    }
    try {
      if (!dryRun) step.run();
    } catch (error) {
      const hint = process.geteuid?.() === 0 ? '' : '; this needs root (sudo)';
      await cli.stderr(`uipvs systemd: ${step.path} cannot be changed: ${(error as Error).message}${hint}\n`);
      return 1;
    }
    changed = true;
    await cli.stdout(`${dryRun ? 'would ' : ''}${step.text}\n`);
  }
  if (changed && !dryRun) await cli.stdout(installed ? NEXT_INSTALLED : NEXT_REMOVED);
  return 0;
}

const NEXT_INSTALLED = 'now type: systemctl daemon-reload && systemctl enable --now uipvsd uldirectord\n';
const NEXT_REMOVED =
  'now type: systemctl daemon-reload (what runs goes on until `systemctl stop uldirectord uipvsd`)\n';

function marked(text: string): string {
  return `# Made by \`uipvs systemd --install\` (${checksum(text)}); your own changes belong into \`systemctl edit\`.\n${text}`;
}

function isOurs(content: string): boolean {
  const mark = MARK.exec(content);
  return mark !== null && mark[1] === checksum(content.slice(mark[0].length));
}

function checksum(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 16);
}
