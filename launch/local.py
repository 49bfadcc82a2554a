#!/usr/bin/env python3
"""A command in several processes on this machine, as a pod would run it.

    launch/local.py --processes=2 --devices=4 -- kpd train --config=... --workdir=DIR

Each has simulated CPU devices of its own; --coordinator, --num_processes and --process_id
are added to the command. One that fails ends the others, and its exit code is that of all.
Ctrl-C and SIGTERM are handed on: kpd stops with a checkpoint.
"""

import argparse
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time

GRACE = 30.0  # Seconds that processes have to end by themselves, once one has failed.


def main(argv=None):
    args = parse(argv)
    port = args.port or free_port()
    commands = [
        [*args.command, f'--coordinator=localhost:{port}',
         f'--num_processes={args.processes}', f'--process_id={number}']
        for number in range(args.processes)
    ]  # fmt: skip
    if args.dry_run:
        print(*map(shlex.join, commands), sep='\n')
        return 0
    return run(commands, args.devices)


def parse(argv):
    text = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=text)
    parser.add_argument('--processes', type=positive, default=2, metavar='N')
    parser.add_argument('--devices', type=positive, default=1, help='of each')
    parser.add_argument('--port', type=positive, help='of process 0 (a free one)')
    parser.add_argument('--dry-run', action='store_true', help='print, run nothing')
    parser.add_argument('command', nargs=argparse.REMAINDER, metavar='-- COMMAND ...')
    args = parser.parse_args(argv)
    if args.command[:1] == ['--']:
        del args.command[0]
    if not args.command:
        parser.exit(2, 'local.py: what to run is missing: -- kpd train ...\n')
    return args


def positive(text):
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f'wanted a number above 0, got {text}')
    return int(text)


def free_port():
    with socket.create_server(('localhost', 0)) as server:
        return server.getsockname()[1]


def run(commands, devices):
    processes = [start(command, devices) for command in commands]
    echoes = [
        threading.Thread(target=echo, args=(process.stdout, number))
        for number, process in enumerate(processes)
    ]
    for thread in echoes:
        thread.start()
    code = wait(processes)
    for thread in echoes:
        thread.join()
    return code if code >= 0 else 128 - code  # As a shell says it of signals.


def start(command, devices):
    environment = {
        'JAX_PLATFORMS': 'cpu',
        'JAX_NUM_CPU_DEVICES': str(devices),
        'PYTHONUNBUFFERED': '1',
    }
    # In a session of its own: a Ctrl-C of the terminal comes once, by us.
    return subprocess.Popen(
        command,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def echo(lines, number):
    """What a process says, line by line, with its number before it."""
    for line in lines:
        sys.stdout.buffer.write(f'[{number}] '.encode() + line.rstrip(b'\n') + b'\n')
        sys.stdout.buffer.flush()


def wait(processes):
    """Until all have ended; the exit code of the first that failed, else 0."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: send(processes, number))
    code, deadline = 0, float('inf')
    while None in (codes := [process.poll() for process in processes]):
        if not code and any(codes):
            code, deadline = next(filter(None, codes)), time.monotonic() + GRACE
            tell(codes.index(code), code)
            send(processes, signal.SIGTERM)
        if time.monotonic() > deadline:
            send(processes, signal.SIGKILL)
        time.sleep(0.05)
    return code or next(filter(None, codes), 0)


def tell(process, code):
    """Which process ended first, and how; what the others say of it comes after."""
    how = f'exit code {code}' if code > 0 else signal.Signals(-code).name
    print(f'local.py: process {process} ended ({how}), so the others are stopped',
          file=sys.stderr, flush=True)  # fmt: skip


def send(processes, number):
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, number)


if __name__ == '__main__':
    sys.exit(main())
