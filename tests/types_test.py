from kpdiscovery.types import UserError


def test_an_error_is_one_line_whatever_it_repeats():
    assert str(UserError('a.npz: no \x1b[2J\n\u202e\ud800 ö')) == (
        'a.npz: no \\x1b[2J\\n\\u202e\\ud800 ö'
    )


def test_the_middle_of_a_long_error_is_left_out():
    text = str(UserError('file: ' + 'x' * 10_000 + ': mend'))
    assert len(text) < 2000 and text.startswith('file: x') and text.endswith('x: mend')
