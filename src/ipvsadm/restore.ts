/**
 * `ipvsadm -R`: reads commands from standard input, one a line. Words are separated by blanks, tabs and carriage
 * returns; there are no quotes and no comments. Changes are gathered and sent together, so that thousands of lines
 * cost few round trips; their order, and the order of messages, is that of the lines.
 */
import { IpvsError } from '../model/errors.ts';
import { parseArguments } from './arguments.ts';
import type { CommandOutcome, IpvsadmIo, IpvsadmTable } from './io.ts';
import { refusalText } from './messages.ts';
import type { ChangeRequest, Request } from './request.ts';
import { UsageError } from './usage-error.ts';

/** Dropped wherever it stands, so that lines may begin with the program's name. */
const PROGRAM_WORD = 'ipvsadm';
const BATCH_MAX = 1_024;

/** Carries out what is not a change (a listing, help) and returns its exit status. */
type Perform = (request: Request) => Promise<number>;

type Waiting = ChangeRequest | { readonly kind: 'parser-error'; readonly error: UsageError };

/** Carries out the lines and returns the exit status: that of the last line, or of the one that ended the run. */
export async function restore(table: IpvsadmTable, io: IpvsadmIo, perform: Perform): Promise<number> {
  try {
    return await restoreLines(table, io, perform);
  } catch (error) {
    if (!(error instanceof IpvsError)) throw error;
    // The data plane went away in the middle: the run ends.
    await io.stderr(refusalText('restore', error));
    return 255;
  }
}

async function restoreLines(table: IpvsadmTable, io: IpvsadmIo, perform: Perform): Promise<number> {
  let status = 0;
  const waiting: Waiting[] = [];
  const flush = async () => {
    if (waiting.length > 0) status = await carryOut(waiting.splice(0), table, io);
  };

  for await (const lines of linesOf(io.stdin())) {
    for (const line of lines) {
      const words = line.split(/[ \t\r]+/).filter((word) => word !== '' && word !== PROGRAM_WORD);
      if (words.length === 0) continue;
      const request = await understand(words, io);
      if (request instanceof UsageError) {
        if (!request.endsRestore) {
          waiting.push({ kind: 'parser-error', error: request });
          continue;
        }
        await flush();
        await io.stderr(`${request.message}\n`);
        return request.exitStatus;
      }
      if (request.kind === 'change') {
        waiting.push(request);
        if (waiting.length >= BATCH_MAX) await flush();
        continue;
      }
      await flush();
      status = await perform(request);
      if (request.kind === 'help' || request.kind === 'version') return status;
    }
    await flush();
  }
  return status;
}

async function understand(words: readonly string[], io: IpvsadmIo): Promise<Request | UsageError> {
  try {
    return await parseArguments(words, io, true);
  } catch (error) {
    if (error instanceof UsageError) return error;
    throw error;
  }
}

/** Returns the status of the last of them. */
async function carryOut(waiting: readonly Waiting[], table: IpvsadmTable, io: IpvsadmIo): Promise<number> {
  const changes = waiting.filter((entry) => entry.kind === 'change');
  const outcomes = (await outcomesOf(changes, table))[Symbol.iterator]();
  let status = 0;
  for (const entry of waiting) {
    status = 0;
    if (entry.kind === 'parser-error') {
      status = entry.error.exitStatus;
      await io.stderr(`${entry.error.message}\n`);
      continue;
    }
    const outcome = outcomes.next().value;
    if (outcome?.error === undefined) continue;
    status = 255;
    await io.stderr(refusalText(entry.word, outcome.error));
  }
  return status;
}

async function outcomesOf(changes: readonly ChangeRequest[], table: IpvsadmTable): Promise<readonly CommandOutcome[]> {
  if (table.executeAll !== undefined && changes.length > 1) {
    return table.executeAll(changes.map((change) => change.command));
  }
  const outcomes: CommandOutcome[] = [];
  for (const { command } of changes) {
    try {
      outcomes.push({ answer: await table.execute(command) });
    } catch (error) {
      if (!(error instanceof IpvsError)) throw error;
      outcomes.push({ error });
    }
  }
  return outcomes;
}

/** The complete lines of each piece of text, and at the end what is left without a newline. */
async function* linesOf(pieces: AsyncIterable<string>): AsyncGenerator<readonly string[]> {
  let rest = '';
  for await (const piece of pieces) {
    const lines = (rest + piece).split('\n');
    rest = lines.pop() ?? '';
    yield lines;
  }
  if (rest !== '') yield [rest];
}
