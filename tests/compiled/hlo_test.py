"""Programs as compilers print them, and schedules as libtpu writes them."""

import jax
import jax.numpy as jnp

from kpdiscovery.compiled import bundles, hlo

TEXT = """HloModule jit_f

%body.1 (p: (s32[], f32[8])) -> (s32[], f32[8]) {
  %p = (s32[], f32[8]) parameter(0)
  %gather.1 = f32[8]{0} gather(%a, %b), offset_dims={}
  ROOT %fusion.2 = (s32[], f32[8]) fusion(%p), calls=%c, backend_config={"estimated_cycles":"50"}
}

%condition.1 (p: (s32[], f32[8])) -> pred[] {
  %limit = s32[] constant(7)
  ROOT %less = pred[] compare(%i, %limit), direction=LT
}

%one.1 (p: f32[8]) -> f32[8] {
  ROOT %sort.4 = f32[8] sort(%p), to_apply=%less.1
}

ENTRY %main.5 (x: f32[8]) -> f32[8] {
  %x = f32[8] parameter(0)
  %while.3 = (s32[], f32[8]) while(%t), condition=%condition.1, body=%body.1
  %cond.6 = f32[8] conditional(%i, %x, %x), branch_computations={%one.1, %one.1}
  ROOT %fusion.9 = f32[8] fusion(%x), calls=%c, backend_config={"estimated_cycles":"3"}
}
"""


def test_loops_are_multiplied_out_and_all_branches_count():
    found = [(o.name, o.opcode, o.cycles, o.times) for o in hlo.operations(TEXT)]
    assert found == [
        ('gather.1', 'gather', 0, 7), ('fusion.2', 'fusion', 50, 7),
        ('sort.4', 'sort', 0, 1), ('sort.4', 'sort', 0, 1),
        ('fusion.9', 'fusion', 3, 1),
    ]  # fmt: skip


def test_a_real_program_is_read():
    step = lambda _, x: jnp.sort(x) * 1.5
    function = jax.jit(lambda x: jax.lax.fori_loop(0, 13, step, x))
    text = function.lower(jnp.ones(50)).compile().as_text()
    sorts = [o.times for o in hlo.operations(text) if o.opcode == 'sort']
    assert sorts == [13]


SCHEDULE = """
LH: loop header

     0   :  { %s1 = inlined_call_operand.hbm }
   0x1 LB: > { %s2 = sadd.s32 1, %s3 } /* Start region 9 :: Start region 3 */
   0x2   :  {}
   0x3 LB: >> { %s4 = sadd.s32 2, %s5 } /* Start region 7 */
   0x4   : >> { %v2 = vst  ;;  %p1 = scmp.ge.s32.totalorder %s4, 19 /* loop exit test */ }
   0x5   : >> { %9 = sbr.rel (!%p1) target = $region7 }
   0x6   : > { %p2 = scmp.ge.s32.totalorder (%p1), %s2, 4 /* loop exit test */ }
   0x7   : > { %10 = sbr.rel (!%p2) target = $region9 }
   0x8   :  { %11 = vsyncpa [#allocation4], 1 }
"""


def test_bundles_of_nested_loops():
    assert bundles.count(SCHEDULE) == 1 + 4 * (1 + 1 + 10 * 3 + 2) + 1


def test_a_loop_of_unknown_length_counts_once():
    endless = SCHEDULE.replace('19 /* loop exit test */', '%s8')
    assert bundles.count(endless) == 1 + 4 * (1 + 1 + 3 + 2) + 1


ALIASES = '{ {0}: (3, {}, may-alias), {2}: (5, {1}, must-alias) }'
COLLECTIVES = (
    f'HloModule jit_f, input_output_alias={ALIASES}, layout={{}}'
    """

ENTRY %main.5 (x: f32[8]) -> f32[8] {
  %all-reduce.1 = (f32[4]{0:T(128)S(1)}, bf16[2,3]{1,0}) all-reduce(%a, %b), to_apply=%add
  %all-reduce.2 = f32[10]{0} all-reduce(%a), to_apply=%add
  %start = (f32[8]{0}, f32[32]{0}) all-gather-start(%a), dimensions={0}
  %done = f32[32]{0} all-gather-done(%start)
  ROOT %plain = f32[8]{0} add(%a, %all-reduce.2)
}
"""
)


def test_collectives_by_kind_and_bytes():
    assert hlo.collectives(COLLECTIVES) == {
        'all-reduce': (2, 4 * 4 + 2 * 6 + 4 * 10), 'all-gather': (1, 4 * 32),
    }  # fmt: skip


def test_outputs_in_the_memory_of_arguments():
    assert hlo.aliases(COLLECTIVES) == 2 and hlo.aliases(TEXT) == 0
