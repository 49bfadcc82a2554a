import pytest

from kpdiscovery import bench
from kpdiscovery.types import UserError


@pytest.mark.parametrize(
    'arguments, message',
    [
        (['steps', '--only=tuks'], "no step 'tuks'.*tusk"),
        (['kmeans', '--rows=-1'], '--rows must be at least 1, got -1'),
        (['kmeans', '--clusters=3,0'], '--clusters must be at least 1, got 0'),
        (['neighbours', '--neighbours=0'], '--neighbours must be at least 1'),
        (['steps', '--config.seed=1'], 'takes no --config'),
        (['kmean'], "invalid choice: 'kmean'"),
        (['kmeans', '--rows=many'], '--rows: invalid'),
        (['kmeans', '--against=sklearn'], 'choose from'),
    ],
)
def test_mistakes(arguments, message):
    with pytest.raises(UserError, match=message):
        bench.main(arguments)
