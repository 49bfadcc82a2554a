import pytest

from kpdiscovery import bench
from kpdiscovery.types import UserError


@pytest.mark.parametrize(
    'arguments, message',
    [
        (['tusk_step', '--only=demmo'], "no case 'demmo'.*demo"),
        (['tusk_step', '--only=mnist_hard'], '--data=FILE'),
        (['tusk_step', '--config.seed=1'], 'takes no --config'),
        (['kmean'], "invalid choice: 'kmean'"),
        (['kmeans', '--rows=many'], '--rows: invalid'),
        (['kmeans', '--against=sklearn'], 'choose from'),
    ],
)
def test_mistakes(arguments, message):
    with pytest.raises(UserError, match=message):
        bench.main(arguments)
