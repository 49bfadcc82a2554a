"""Lines of ours in programs as XLA prints them."""

from kpdiscovery.compiled import places

TEXT = """HloModule jit_step

FileNames
1 "/home/kpdiscovery/kpdiscovery/methods/tusk/learning.py"
2 "/home/kpdiscovery/.venv/lib/site-packages/flax/linen/linear.py"
3 "/opt/site-packages/kpdiscovery/models/unet.py"
4 "/opt/site-packages/pallas_kernels/warp/api.py"

FunctionNames
1 "step"

FileLocations
1 {file_name_id=1 function_name_id=1 line=83 end_line=85 column=2 end_column=4}
2 {file_name_id=3 function_name_id=1 line=66 end_line=66 column=2 end_column=4}
3 {file_name_id=2 function_name_id=1 line=7 end_line=7 column=2 end_column=4}
4 {file_name_id=4 function_name_id=1 line=12 end_line=12 column=2 end_column=4}
5 {file_name_id=3 function_name_id=1 line=71 end_line=71 column=2 end_column=4}

StackFrames
1 {file_location_id=1 parent_frame_id=1}
2 {file_location_id=2 parent_frame_id=2}
3 {file_location_id=3 parent_frame_id=3}
4 {file_location_id=4 parent_frame_id=3}
5 {file_location_id=3 parent_frame_id=1}
6 {file_location_id=5 parent_frame_id=3}


ENTRY %main.5 (x: f32[8]) -> f32[8] {
  ROOT %add.1 = f32[8] add(%x, %x), metadata={op_name="jit(step)" stack_frame_id=3}
}
"""


def test_the_innermost_lines_of_two_files_of_ours():
    place = places.reader(TEXT)
    stacks = [place(f'%a = f32[] add(), stack_frame_id={n}') for n in range(1, 7)]
    step, unet = 'methods/tusk/learning.py:83', 'models/unet.py:66'
    assert stacks[:3] == [step, f'{unet} < {step}', f'{unet} < {step}']
    assert stacks[3:5] == [f'warp/api.py:12 < {unet}', '']
    assert (
        stacks[5] == f'models/unet.py:71 < {step}'
    )  # Not the line before, of its file.


def test_nothing_is_known_of_operations_without_a_stack():
    assert places.reader(TEXT)('%a = f32[] add()') == ''
    assert places.reader('HloModule jit_f')('stack_frame_id=3') == ''
