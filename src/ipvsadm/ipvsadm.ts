/**
 * The `ipvsadm` command: understands its words, asks the data plane, prints what ipvsadm 1.31 (Debian 12) prints.
 * Parts that a plain listing does not need are loaded when they are asked for.
 */
import type { TableInfo } from '../model/commands.ts';
import { IpvsError } from '../model/errors.ts';
import { parseArguments } from './arguments.ts';
import type { IpvsadmIo, IpvsadmTable } from './io.ts';
import { list } from './listing.ts';
import { noTableText, refusalText, versionWarning } from './messages.ts';
import { type ChangeRequest, LIST_EVERYTHING, type Request } from './request.ts';
import { UsageError } from './usage-error.ts';

const NO_TABLE_STATUS = 2;
const REFUSED_STATUS = 255;

/**
 * Runs one invocation and returns its exit status: 0 done, 1 a listing could not be read, 2 wrong words or no data
 * plane, 255 refused. `words` are the arguments without the program's name.
 */
export async function runIpvsadm(words: readonly string[], io: IpvsadmIo): Promise<number> {
  // Unlike the original, help needs no data plane.
  const helpOnly = words.length > 0 && isHelp(words[0]!);
  if (helpOnly) return perform(await parseArguments(words, io), null, io);

  const opened = await openTable(io);
  if (opened === null) return NO_TABLE_STATUS;
  try {
    return await perform(words.length === 0 ? LIST_EVERYTHING : await parseArguments(words, io), opened, io);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    await io.stderr(`${error.message}\n`);
    return error.exitStatus;
  } finally {
    await opened.table.close();
  }
}

interface OpenTable {
  readonly table: IpvsadmTable;
  readonly info: TableInfo;
}

function isHelp(word: string): boolean {
  return word === '-h' || word === '--help' || word === '-v' || word === '--version';
}

/** The table is opened before the words are looked at, so a missing one is what is reported first. */
async function openTable(io: IpvsadmIo): Promise<OpenTable | null> {
  let table: IpvsadmTable | null = null;
  try {
    table = await io.connect();
    const info = await table.execute<'info'>({ name: 'info' });
    const warning = versionWarning(info.version);
    if (warning !== '') await io.stderr(warning);
    return { table, info };
  } catch (error) {
    await table?.close();
    if (!(error instanceof IpvsError)) throw error;
    await io.stderr(noTableText(error));
    return null;
  }
}

async function perform(request: Request, opened: OpenTable | null, io: IpvsadmIo): Promise<number> {
  if (request.kind === 'help' || request.kind === 'version') {
    const { helpText, VERSION_LINE } = await import('./help.ts');
    await io.stdout(request.kind === 'help' ? helpText(io.programName) : `${VERSION_LINE}\n`);
    return 0;
  }
  if (opened === null) throw new TypeError(`${request.kind} needs a data plane`);
  const { table, info } = opened;
  switch (request.kind) {
    case 'change':
      return change(request, table, io);
    case 'list':
      return list(request, table, info, io);
    case 'connections':
      return (await import('./connections.ts')).listConnections(request, table, io);
    case 'timeouts':
    case 'daemons':
      return (await import('./settings-listing.ts')).listSettings(request.kind, table, io);
    case 'save':
      return (await import('./save.ts')).save(request.numeric, table, io);
    case 'restore':
      return (await import('./restore.ts')).restore(table, io, (line) => perform(line, opened, io));
  }
}

async function change(request: ChangeRequest, table: IpvsadmTable, io: IpvsadmIo): Promise<number> {
  try {
    await table.execute(request.command);
    return 0;
  } catch (error) {
    if (!(error instanceof IpvsError)) throw error;
    await io.stderr(refusalText(request.word, error));
    return REFUSED_STATUS;
  }
}
