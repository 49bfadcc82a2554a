"""What launch/local.py starts in its tests: python child.py WHAT --coordinator=... ..."""

import argparse
import os
import signal
import sys
import time


def devices(args):
    import jax

    jax.distributed.initialize(args.coordinator, args.num_processes, args.process_id)
    who = f'process {jax.process_index()} of {jax.process_count()}'
    print(f'{who}: {len(jax.local_devices())} of {len(jax.devices())} devices')


def fail(args, end):
    if args.process_id != 1:
        time.sleep(60)
    print('I fail')
    end()


def stop(args):
    def leave(number, frame):
        print(f'{signal.Signals(number).name}, a checkpoint')
        sys.exit(143)

    signal.signal(signal.SIGINT, leave)
    signal.signal(signal.SIGTERM, leave)
    print('up')
    time.sleep(60)


WHAT = {
    'devices': devices,
    'exit': lambda args: fail(args, lambda: sys.exit(3)),
    'killed': lambda args: fail(args, lambda: os.kill(os.getpid(), signal.SIGKILL)),
    'stop': stop,
}

if __name__ == '__main__':
    parser = argparse.ArgumentParser()
    parser.add_argument('what', choices=WHAT)
    parser.add_argument('--coordinator', required=True)
    parser.add_argument('--num_processes', type=int, required=True)
    parser.add_argument('--process_id', type=int, required=True)
    args = parser.parse_args()
    WHAT[args.what](args)
