"""One page in headless Chromium, spoken to through the pipe of its developer tools."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time

NAMES = ('chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable')
SECONDS = 60.0  # A machine that does other work is slow.
OPTIONS = (
    '--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage',
    '--no-first-run', '--hide-scrollbars', '--disable-background-networking',
    '--disable-component-update', '--disable-extensions', '--remote-debugging-pipe',
)  # fmt: skip
KEYS = {'Enter': (13, '\r'), 'Tab': (9, ''), 'Escape': (27, ''), 'ArrowRight': (39, ''),
        'ArrowLeft': (37, ''), 'ArrowDown': (40, ''), 'ArrowUp': (38, '')}  # fmt: skip


def program() -> str | None:
    """The browser on PATH; None where there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Page:
    """A page, and what went wrong in it.

    Attributes:
        complaints: texts of exceptions, and of errors and warnings on the console.
        requests: addresses that were asked for, those inside the file not counted.
    """

    def __init__(self, browser: str, profile: os.PathLike):
        command = (browser, *OPTIONS, f'--user-data-dir={profile}')
        self._process, self._to, self._from = _start(command)
        self._rest = b''
        self._answers: dict[int, dict] = {}
        self._number, self._session = 0, None
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self._loaded = False
        self._attach()

    def close(self) -> None:
        os.close(self._to)
        self._process.terminate()
        self._process.wait()
        os.close(self._from)

    def open(self, path: os.PathLike) -> None:
        """Loads a file; complaints and requests are those from then on."""
        self.complaints, self.requests, self._loaded = [], [], False
        self.call('Page.navigate', url=f'file://{path}')
        self._until(lambda: self._loaded)

    def call(self, method: str, **params):
        """A command of the DevTools protocol, and its answer."""
        self._number += 1
        message = {'id': self._number, 'method': method, 'params': params}
        if self._session:
            message['sessionId'] = self._session
        data = json.dumps(message).encode() + b'\0'
        while data:
            data = data[os.write(self._to, data) :]
        answer = self._until(lambda: self._answers.pop(self._number, None))
        if 'error' in answer:
            raise RuntimeError(f'{method}: {answer["error"]}')
        return answer['result']

    def run(self, script: str):
        """The value of an expression, of a promise what it becomes."""
        found = self.call(
            'Runtime.evaluate', expression=script, returnByValue=True, awaitPromise=True
        )
        if 'exceptionDetails' in found:
            raise RuntimeError(found['exceptionDetails'])
        return found['result'].get('value')

    def press(self, key: str) -> None:
        code, text = KEYS[key]
        options = {'key': key, 'code': key, 'windowsVirtualKeyCode': code}
        self.call('Input.dispatchKeyEvent', type='keyDown', text=text, **options)
        self.call('Input.dispatchKeyEvent', type='keyUp', **options)

    def move(self, x: float, y: float) -> None:
        self.call('Input.dispatchMouseEvent', type='mouseMoved', x=x, y=y)

    def click(self, x: float, y: float) -> None:
        for kind in ('mousePressed', 'mouseReleased'):
            self.call('Input.dispatchMouseEvent', type=kind, x=x, y=y, button='left',
                      clickCount=1)  # fmt: skip

    def tap(self, x: float, y: float) -> None:
        touch = 'Input.dispatchTouchEvent'
        self.call(touch, type='touchStart', touchPoints=[{'x': x, 'y': y}])
        self.call(touch, type='touchEnd', touchPoints=[])

    def show_on(self, width: int, height: int, *, dark=False, phone=False) -> None:
        """The size of the window, and what the person prefers."""
        self.call('Emulation.setDeviceMetricsOverride', width=width, height=height,
                  deviceScaleFactor=1, mobile=phone)  # fmt: skip
        self.call('Emulation.setTouchEmulationEnabled', enabled=phone)
        scheme = {'name': 'prefers-color-scheme', 'value': 'dark' if dark else 'light'}
        self.call('Emulation.setEmulatedMedia', features=[scheme])

    def screenshot(self) -> bytes:
        """The window as a PNG file."""
        return base64.b64decode(self.call('Page.captureScreenshot')['data'])

    def _attach(self):
        target = self.call('Target.createTarget', url='about:blank')['targetId']
        found = self.call('Target.attachToTarget', targetId=target, flatten=True)
        self._session = found['sessionId']
        for room in ('Page', 'Runtime', 'Log', 'Network'):
            self.call(f'{room}.enable')

    def _until(self, there):
        """Reads messages until there is what is waited for."""
        end = time.monotonic() + SECONDS
        while not (found := there()):
            if not select.select([self._from], [], [], end - time.monotonic())[0]:
                raise TimeoutError('Chromium does not answer')
            data = os.read(self._from, 1 << 20)
            if not data:
                raise RuntimeError('Chromium has ended')
            *messages, self._rest = (self._rest + data).split(b'\0')
            for message in messages:
                self._hear(json.loads(message))
        return found

    def _hear(self, message):
        params, method = message.get('params', {}), message.get('method')
        if 'id' in message:
            self._answers[message['id']] = message
        elif method == 'Page.loadEventFired':
            self._loaded = True
        elif method == 'Runtime.exceptionThrown':
            self.complaints.append(str(params['exceptionDetails']))
        elif method == 'Runtime.consoleAPICalled' and params['type'] != 'log':
            self.complaints.append(str(params['args']))
        elif method == 'Log.entryAdded' and params['entry']['level'] != 'info':
            self.complaints.append(params['entry']['text'])
        elif method == 'Network.requestWillBeSent':
            address = params['request']['url']
            self.requests += [address] * (not address.startswith('data:'))


def _start(command):
    """The browser, and the ends of two pipes: what it is told, and what it answers."""
    down, up = os.pipe(), os.pipe()
    script = f'exec "$@" 3</dev/fd/{down[0]} 4>/dev/fd/{up[1]}'  # Where it looks.
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(
        ('sh', '-c', script, 'sh', *command),
        pass_fds=(down[0], up[1]),
        stdout=quiet,
        stderr=quiet,
    )
    os.close(down[0])
    os.close(up[1])
    return process, down[1], up[0]
