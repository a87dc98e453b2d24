/** The file system of the guest: this program, Node, a few programs of this machine with their libraries, modules. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { ROOT } from '../set-up.mjs';
import { SetUpError, searchPath } from '../terminal.mjs';
import { Archive } from './cpio.mjs';

/** Programs of this machine that the guest's steps and the lab start; the rest is busybox. */
const PROGRAMS = [
  'ip',
  'nft',
  'ab',
  'ss',
  'nsenter',
  'unshare',
  'mount',
  'iptables',
  'iptables-save',
  'iptables-nft-save',
];
/** Of those, what the guest can do without. */
const OPTIONAL_PROGRAMS = ['ss', 'iptables', 'iptables-save', 'iptables-nft-save'];
/** Parts of the kernel's modules that are taken along. */
const MODULE_FOLDERS = [
  'kernel/net',
  'kernel/drivers/net',
  'kernel/lib',
  'kernel/crypto',
  'kernel/arch/x86/crypto',
  'kernel/drivers/block',
];
const MODULE_LISTS = ['modules.order', 'modules.builtin', 'modules.builtin.modinfo'];
/** Where the checkout lies in the guest. */
export const GUEST_ROOT = '/uipvs';

/**
 * @param {import('./kernel.mjs').GuestKernel} kernel
 * @param {{ steps?: readonly string[] }} [wishes] `steps`: those that are run, unless empty
 * @returns {Buffer} an archive that the kernel unpacks
 */
export function buildImage(kernel, { steps = [] } = {}) {
  const archive = new Archive();
  for (const folder of ['/proc', '/sys', '/dev', '/run', '/var/log', '/root', '/etc/sysctl.d', '/lib64', '/usr/sbin']) {
    archive.folder(folder);
  }
  archive.link('/var/run', '/run');
  archive.folder('/tmp', 0o1777);
  archive.device('/dev/console', 5, 1);
  archive.device('/dev/null', 1, 3);
  addBusybox(archive);
  for (const name of PROGRAMS) addProgram(archive, name);
  addProgram(archive, 'modprobe', '/sbin/modprobe');
  addElf(archive, realpathSync(process.execPath), '/usr/bin/node');
  addNameSwitch(archive);
  addModules(archive, kernel);
  addCheckout(archive);
  archive.file('/steps.json', JSON.stringify(steps));
  archive.file('/init', readFileSync(join(import.meta.dirname, 'init.sh')), 0o755);
  return archive.bytes();
}

/** Busybox under the names of everything it can do that nothing else does. */
function addBusybox(archive) {
  const busybox = findProgram('busybox');
  if (busybox === null) throw new SetUpError('the guest needs busybox (package busybox-static)');
  addElf(archive, busybox, '/bin/busybox');
  const { stdout } = spawnSync(busybox, ['--list'], { encoding: 'utf8' });
  for (const name of stdout.split('\n').filter((word) => word !== '')) {
    if (![...PROGRAMS, 'modprobe', 'busybox'].includes(name)) archive.link(`/bin/${name}`, '/bin/busybox');
  }
  archive.link('/usr/bin/env', '/bin/busybox');
}

function addProgram(archive, name, path = `/usr/sbin/${name}`) {
  const found = findProgram(name);
  if (found !== null) addElf(archive, found, path);
  else if (!OPTIONAL_PROGRAMS.includes(name)) throw new SetUpError(`the guest needs the program ${name}`);
  // What the multi-call programs load by name.
  if (name === 'iptables' && found !== null) {
    const folder = '/usr/lib/x86_64-linux-gnu/xtables';
    if (existsSync(folder)) for (const file of readdirSync(folder)) addElf(archive, join(folder, file));
  }
}

function findProgram(name) {
  const folder = searchPath()
    .split(':')
    .find((each) => existsSync(join(each, name)));
  return folder === undefined ? null : realpathSync(join(folder, name));
}

/** A program or library with the libraries it needs, each where it is looked for. */
function addElf(archive, source, path = source) {
  if (archive.has(path)) return;
  archive.file(path, readFileSync(source), 0o755);
  for (const library of librariesOf(source)) {
    if (!archive.has(library)) archive.file(library, readFileSync(library), 0o755);
  }
}

/** As the loader finds them; none for a static program. @param {string} file */
function librariesOf(file) {
  const { stdout } = spawnSync('ldd', [file], { encoding: 'utf8' });
  return [...(stdout ?? '').matchAll(/(?:=> )?(\/\S+) \(0x/g)].map(([, library]) => library);
}

/** User and protocol names, as far as programs insist on them. */
function addNameSwitch(archive) {
  archive.file('/etc/passwd', 'root:x:0:0:root:/root:/bin/sh\n');
  archive.file('/etc/group', 'root:x:0:\n');
  archive.file('/etc/hosts', '127.0.0.1 localhost\n::1 localhost\n');
  archive.file('/etc/nsswitch.conf', 'passwd: files\ngroup: files\nhosts: files\nservices: files\nprotocols: files\n');
  for (const file of ['/etc/protocols', '/etc/services', '/etc/iproute2', '/usr/share/iproute2']) {
    if (existsSync(file)) archive.copy(realpathSync(file), file);
  }
}

/** The modules with the list of who needs whom, which the packages leave to be made. */
function addModules(archive, { modules, version }) {
  const folder = mkdtempSync(join(tmpdir(), 'uipvs-modules-'));
  try {
    const target = `/lib/modules/${version}`;
    for (const name of MODULE_FOLDERS) {
      if (existsSync(join(modules, name))) archive.copy(join(modules, name), `${target}/${name}`);
    }
    for (const name of MODULE_LISTS)
      if (existsSync(join(modules, name))) archive.copy(join(modules, name), `${target}/${name}`);
    // depmod writes beside what it reads, and the cache is nobody's to write to.
    const beside = join(folder, 'lib/modules', version);
    spawnSync('mkdir', ['-p', beside]);
    for (const name of [...MODULE_FOLDERS, ...MODULE_LISTS]) {
      if (!existsSync(join(modules, name))) continue;
      spawnSync('mkdir', ['-p', dirname(join(beside, name))]);
      spawnSync('ln', ['-s', join(modules, name), join(beside, name)]);
    }
    const done = spawnSync('depmod', ['-b', folder, version], {
      encoding: 'utf8',
      env: { ...process.env, PATH: searchPath() },
    });
    if (done.status !== 0) throw new SetUpError(`depmod failed: ${done.stderr || done.error?.message}`);
    for (const name of readdirSync(beside)) {
      if (/^modules\.(dep|alias|symbols|softdep)$/.test(name)) archive.copy(join(beside, name), `${target}/${name}`);
    }
    for (const name of ['modules.dep.bin', 'modules.alias.bin', 'modules.symbols.bin', 'modules.builtin.bin']) {
      if (existsSync(join(beside, name))) archive.copy(join(beside, name), `${target}/${name}`);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** This package as it would be published, its recordings, and the steps of the guest. */
function addCheckout(archive) {
  const place = (path) => join(GUEST_ROOT, relative(ROOT, path));
  for (const name of ['package.json', 'dist', 'test/recordings/cli.jsonl.br', 'src/setup/guest']) {
    archive.copy(
      join(ROOT, name),
      place(join(ROOT, name)),
      (source) => !/\/dist\/(man|completions|\.bench)$/.test(source),
    );
  }
  for (const name of productionPackages())
    archive.copy(join(ROOT, 'node_modules', name), `${GUEST_ROOT}/node_modules/${name}`);
}

/** Packages that a program of ours may load, without those for pictures. */
function productionPackages() {
  const { packages } = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8'));
  const wanted = new Set();
  const follow = (name) => {
    const entry = packages[`node_modules/${name}`];
    if (wanted.has(name) || entry === undefined || !existsSync(join(ROOT, 'node_modules', name))) return;
    wanted.add(name);
    for (const next of Object.keys({ ...entry.dependencies, ...entry.optionalDependencies })) follow(next);
  };
  for (const name of [...Object.keys(packages[''].dependencies), 'koffi']) follow(name);
  return wanted;
}

/** For whoever wants to see what is in it. @param {Buffer} image @param {string} file */
export function keepImage(image, file) {
  writeFileSync(file, image);
}
