/**
 * One TCP connection that lives through two migrations, from the packet engine to the kernel and back: what it sends
 * through the director before, between and after arrives at the same server, and comes back.
 */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { must, program, StepFailed, startDaemon } from './programs.mjs';

const NAMESPACES = ['mclient', 'mdirector', 'mserver'];
const VIP = '10.9.0.100';
const SETUP = [
  ['link', 'add', 'c1', 'netns', 'mclient', 'type', 'veth', 'peer', 'name', 'c0', 'netns', 'mdirector'],
  ['link', 'add', 's1', 'netns', 'mserver', 'type', 'veth', 'peer', 'name', 's0', 'netns', 'mdirector'],
  ['-n', 'mclient', 'addr', 'add', '10.9.0.2/24', 'dev', 'c1'],
  ['-n', 'mdirector', 'addr', 'add', '10.9.0.1/24', 'dev', 'c0'],
  ['-n', 'mdirector', 'addr', 'add', `${VIP}/32`, 'dev', 'c0'],
  ['-n', 'mdirector', 'addr', 'add', '10.9.1.1/24', 'dev', 's0'],
  ['-n', 'mserver', 'addr', 'add', '10.9.1.2/24', 'dev', 's1'],
  ...NAMESPACES.map((name) => ['-n', name, 'link', 'set', 'lo', 'up']),
  ...[
    ['mclient', 'c1'],
    ['mdirector', 'c0'],
    ['mdirector', 's0'],
    ['mserver', 's1'],
  ].map(([name, link]) => [...['-n', name, 'link', 'set', link, 'up']]),
  ['-n', 'mserver', 'route', 'add', 'default', 'via', '10.9.1.1'],
];
/** Sends back what comes, and says how many connections there were. */
const SERVER = `let count = 0;
require('node:net').createServer((socket) => {
  const number = ++count;
  socket.on('error', () => {});
  socket.on('data', (data) => socket.write(number + ' ' + data));
}).listen(80, '10.9.1.2', () => console.log('ready'));`;
/** One connection, on which each line of standard input is sent; a line \`new\` makes another one. */
const CLIENT = `const net = require('node:net');
const open = () => {
  const socket = net.connect(80, '${VIP}');
  socket.on('data', (data) => console.log(String(data).trim()));
  socket.on('error', (error) => console.log('error ' + error.code));
  return socket;
};
let socket = open();
require('node:readline').createInterface({ input: process.stdin }).on('line', (line) => {
  if (line === 'new') socket = open();
  socket.write(line + '\\n');
});`;
const PATIENCE_MS = 30_000;

export async function keepConnections() {
  for (const name of NAMESPACES) must('ip', ['netns', 'add', name]);
  const children = [];
  const enter = (name) => ['netns', 'exec', name];
  const start = (name, code) => {
    const child = spawn('ip', [...enter(name), process.execPath, '-e', code], { stdio: ['pipe', 'pipe', 'inherit'] });
    children.push(child);
    return { child, lines: createInterface({ input: child.stdout })[Symbol.asyncIterator]() };
  };
  const director = ['ip', ...enter('mdirector')];
  const uipvs = async (word, ...words) => {
    const { status, stdout, stderr } = await program(director, word, words);
    if (status !== 0) throw new StepFailed(`${word} ${words.join(' ')} ended with ${status}: ${stdout}${stderr}`);
    return stdout;
  };
  const pidOf = async () => JSON.parse(await uipvs('uipvs', 'status', '--json')).daemon.pid;
  try {
    for (const words of SETUP) must('ip', words);
    must('ip', [...enter('mdirector'), 'sh', '-c', 'echo 1 > /proc/sys/net/ipv4/ip_forward']);
    await nextLine(start('mserver', SERVER));
    await startDaemon(director, ['--data-plane', 'packet']);
    await uipvs('uipvsadm', '-A', '-t', `${VIP}:80`, '-s', 'rr', '-p', '300');
    await uipvs('uipvsadm', '-a', '-t', `${VIP}:80`, '-r', '10.9.1.2:80', '-m', '-w', '3');
    const client = start('mclient', CLIENT);
    const say = async (line, wanted) => {
      client.child.stdin.write(`${line}\n`);
      const heard = await nextLine(client);
      if (heard !== wanted)
        throw new StepFailed(`the client sent ${line} and heard ${JSON.stringify(heard)}, not ${wanted}`);
    };
    await say('before', '1 before');
    const saved = await uipvs('uipvsadm', '-S', '-n');

    const tried = await uipvs('uipvs', 'migrate', '--to', 'kernel', '--dry-run', '--json');
    expectReport(tried, { to: 'kernel IPVS', done: false, kept: 2 });
    if (kernelRows() !== 0) throw new StepFailed('--dry-run left connections in the kernel');
    const there = expectReport(await uipvs('uipvs', 'migrate', '--to', 'kernel', '--json'), {
      to: 'kernel IPVS',
      done: true,
      kept: 2,
    });
    await say('between', '1 between');
    if (kernelRows() !== 2) throw new StepFailed(`the kernel has ${kernelRows()} connections, not 2`);
    expectSame(saved, await uipvs('uipvsadm', '-S', '-n'));

    const back = expectReport(await uipvs('uipvs', 'migrate', '--to', 'packet', '--json'), {
      to: 'packet engine',
      done: true,
      kept: 2,
    });
    await say('after', '1 after');
    expectSame(saved, await uipvs('uipvsadm', '-S', '-n'));
    const left = must('ip', [...enter('mdirector'), 'cat', '/proc/net/ip_vs']);
    if (/^TCP/m.test(left)) throw new StepFailed(`the kernel was not emptied:\n${left}`);
    await say('new', '2 new');
    process.kill(await pidOf(), 'SIGTERM');
    return `one connection and its template lived through both ways (${there.connections.kept} and ${back.connections.kept} kept)`;
  } finally {
    for (const child of children) child.kill();
    for (const name of NAMESPACES) {
      for (const pid of must('ip', ['netns', 'pids', name]).split('\n').filter(Boolean)) kill(Number(pid));
      must('ip', ['netns', 'del', name]);
    }
  }

  function kernelRows() {
    return (
      must('ip', [...enter('mdirector'), 'cat', '/proc/net/ip_vs_conn'])
        .trim()
        .split('\n').length - 1
    );
  }
}

function expectReport(text, { to, done, kept }) {
  const report = JSON.parse(text);
  if (report.to === to && report.done === done && report.connections.kept === kept) return report;
  throw new StepFailed(`uipvs migrate told something else than ${to}, ${done}, ${kept} kept: ${text}`);
}

function expectSame(before, after) {
  if (before !== after) throw new StepFailed(`the table is not the same:\n${before}\n${after}`);
}

async function nextLine({ lines }) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new StepFailed('nothing came back in time')), PATIENCE_MS);
  });
  try {
    return (await Promise.race([lines.next(), late])).value;
  } finally {
    clearTimeout(timer);
  }
}

function kill(pid) {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended by itself.
  }
}
