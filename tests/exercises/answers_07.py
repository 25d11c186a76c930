"""Typical wrong answers to the exercises of notebook 07, and words of the message that each gets."""

import torch


def road(x, norm1, att, norm2, ff, drop, *, shortcuts=(True, True)):
    x = drop(att(norm1(x))) + (x if shortcuts[0] else 0)
    return drop(ff(norm2(x))) + (x if shortcuts[1] else 0)


def post_ln(x, norm1, att, norm2, ff, drop):
    x = norm1(x + drop(att(x)))
    return norm2(x + drop(ff(x)))


def norm_on_the_shortcut(x, norm1, att, norm2, ff, drop):
    x = norm1(x)
    x = x + drop(att(x))
    x = norm2(x)
    return x + drop(ff(x))


def parallel(x, norm1, att, norm2, ff, drop):
    return x + drop(att(norm1(x))) + drop(ff(norm2(x)))


def adds_to_the_start(x, norm1, att, norm2, ff, drop):
    attended = x + drop(att(norm1(x)))
    return x + drop(ff(norm2(attended)))


def norms_the_writing(x, norm1, att, norm2, ff, drop):
    x = x + drop(norm1(att(x)))
    return x + drop(norm2(ff(x)))


def norms_left_out(x, norm1, att, norm2, ff, drop):
    x = x + drop(att(x))
    return x + drop(ff(x))


def without_drop(x, norm1, att, norm2, ff, drop):
    x = x + att(norm1(x))
    return x + ff(norm2(x))


def post_ln_without_drop(x, norm1, att, norm2, ff, drop):
    x = norm1(x + att(x))
    return norm2(x + ff(x))


def drop_after_adding(x, norm1, att, norm2, ff, drop):
    x = drop(x + att(norm1(x)))
    return drop(x + ff(norm2(x)))


def drop_before_the_part(x, norm1, att, norm2, ff, drop):
    x = x + att(drop(norm1(x)))
    return x + ff(drop(norm2(x)))


def one_drop(x, norm1, att, norm2, ff, drop):
    x = x + drop(att(norm1(x)))
    return x + ff(norm2(x))


def other_drop(x, norm1, att, norm2, ff, drop):
    x = x + att(norm1(x))
    return x + drop(ff(norm2(x)))


def drops_twice(x, norm1, att, norm2, ff, drop):
    x = x + drop(att(norm1(x)))
    return drop(x + drop(ff(norm2(x))))


def in_place(x, norm1, att, norm2, ff, drop):
    x += drop(att(norm1(x)))
    x += drop(ff(norm2(x)))
    return x


def nothing_mended(block, x):
    x = block.norm1(x)
    x = x + block.att(x)
    return x + block.ff(block.norm1(x))


def second_norm_mended(block, x):
    x = block.norm1(x)
    x = x + block.att(x)
    return x + block.ff(block.norm2(x))


def both_norms_on_the_road(block, x):
    x = block.norm1(x)
    x = x + block.att(x)
    x = block.norm2(x)
    return x + block.ff(x)


def road_mended(block, x):
    x = x + block.att(block.norm1(x))
    return x + block.ff(block.norm1(x))


def second_norm_on_the_road(block, x):
    x = x + block.att(block.norm1(x))
    x = block.norm2(x)
    return x + block.ff(x)


def second_norm_gone(block, x):
    x = x + block.att(block.norm1(x))
    return x + block.ff(x)


def now_post_ln(block, x):
    x = block.norm1(x + block.att(x))
    return block.norm2(x + block.ff(x))


def with_dropout(block, x):
    x = x + block.drop(block.att(block.norm1(x)))
    return x + block.drop(block.ff(block.norm2(x)))


def stream_after(blocks, x, *, keep="writes", norm=True, advance=True):
    """Walk down the road, and keep what each part writes or the road behind it."""
    kept = []
    for block in blocks:
        for tidy, part in ((block.norm1, block.att), (block.norm2, block.ff)):
            write = part(tidy(x) if norm else x)
            x = x + write if advance else x
            kept.append(write if keep == "writes" else x)
    return torch.stack(kept)


def one_for_each_block(blocks, x):
    kept = []
    for block in blocks:
        attention = block.att(block.norm1(x))
        feed_forward = block.ff(block.norm2(x + attention))
        kept.append(attention + feed_forward)
        x = x + attention + feed_forward
    return torch.stack(kept)


def reads_the_same_stream(blocks, x):
    kept = []
    for block in blocks:
        attention, feed_forward = block.att(block.norm1(x)), block.ff(block.norm2(x))
        kept += [attention, feed_forward]
        x = x + attention + feed_forward
    return torch.stack(kept)


def becomes_the_writing(blocks, x):
    kept = []
    for block in blocks:
        x = block.att(block.norm1(x))
        kept.append(x)
        x = block.ff(block.norm2(x))
        kept.append(x)
    return torch.stack(kept)


def blocks_never_advance(blocks, x):
    return torch.cat([stream_after([block], x) for block in blocks])


def kinds_apart(blocks, x):
    writes = stream_after(blocks, x)
    return torch.cat([writes[::2], writes[1::2]])


def with_the_start(blocks, x):
    return torch.cat([x[None], stream_after(blocks, x)])


WRONG = {
    "07.1": [
        ("abcdefgh", "Nothing is mended"),
        ("acbdegfh", "post-LN"),
        ("dabchefg", "Dropout still comes after"),
        ("hegfdacb", "attention has its turn first"),
        ("hacbdegf", "norms are exchanged"),
        ("adcbehgf", "after the parts"),
        ("dacbhefg", "Up to step 6 your order is right. Then adding what feed-forward wrote"),
        ("cdabhegf", "At the very start dropout after attention comes too early"),
        ("dacbdacb", "text of the 8 letters a to h"),
        (["norm1", "attention"], "text of the 8 letters"),
    ],
    "07.2": [
        (post_ln, "on the road: post-LN"),
        (norm_on_the_shortcut, "norms change the road"),
        (parallel, "reads the original x"),
        (adds_to_the_start, "add to the original x"),
        (lambda *parts: road(*parts, shortcuts=(False, True)), "first shortcut is missing"),
        (lambda *parts: road(*parts, shortcuts=(True, False)), "second shortcut is missing"),
        (lambda *parts: road(*parts, shortcuts=(False, False)), "Both shortcuts"),
        (lambda x, norm1, att, norm2, ff, drop: road(x, norm2, ff, norm1, att, drop), "feed-forward write first"),
        (lambda x, norm1, att, norm2, ff, drop: road(x, norm2, att, norm1, ff, drop), "norms are exchanged"),
        (lambda x, norm1, att, norm2, ff, drop: road(x, norm1, att, norm1, ff, drop), "norm1 twice"),
        (lambda x, norm1, att, norm2, ff, drop: road(x, norm2, att, norm2, ff, drop), "norm2 twice"),
        (norms_left_out, "The norms are missing"),
        (norms_the_writing, "norm what each part writes"),
        (without_drop, "right but for dropout"),
        (post_ln_without_drop, "post-LN. GPT-2 norms what a part reads. And dropout is missing"),
        (drop_after_adding, "after the addition"),
        (drop_before_the_part, "works on what a part reads"),
        (one_drop, "missing after feed-forward"),
        (other_drop, "missing after attention"),
        (drops_twice, "expected is"),
        (in_place, "changes the tensor"),
        (lambda x, norm1, att, norm2, ff, drop: x + att.forward(x), "stopped with AttributeError"),
    ],
    "07.3": [
        (nothing_mended, "Nothing is mended"),
        (second_norm_mended, "is not x itself"),
        (road_mended, "shows only after training"),
        (second_norm_on_the_road, "only ff may read it"),
        (second_norm_gone, "without any norm"),
        (both_norms_on_the_road, "norms change the road"),
        (now_post_ln, "post-LN"),
        (lambda block, x: x + block.att(block.norm1(x)) + block.ff(block.norm2(x)), "reads the original x"),
        (lambda block, x: block(x), "stopped with TypeError"),
        (with_dropout, "dropout is left out here"),
    ],
    "07.4": [
        (lambda d, bias: 12 * d * d, "matrices alone"),
        (lambda d, bias: 12 * d * d + 6 * d + 3 * d * bias, "two layer norms are missing"),
        (lambda d, bias: 12 * d * d + 8 * d + 3 * d * bias, "2 * emb_dim are missing"),
        (lambda d, bias: 12 * d * d + 5 * d + 3 * d * bias, "5 * emb_dim are missing"),
        (lambda d, bias: 12 * d * d + 9 * d + 3 * d * bias, "emb_dim are missing: look at the biases"),
        (lambda d, bias: 12 * d * d + 7 * d + 3 * d * bias, "not emb_dim"),
        (lambda d, bias: 12 * d * d + 10 * d, "Right without qkv_bias. With it, queries"),
        (lambda d, bias: 12 * d * d + 10 * d + d * bias, "three biases"),
        (lambda d, bias: 12 * d * d + 10 * d + 3 * d * (not bias), "other way round"),
        (lambda d, bias: 12 * d * d + 13 * d, "Right with qkv_bias"),
        (lambda d, bias: 11 * d * d + 10 * d + 3 * d * bias, "with out_proj"),
        (lambda d, bias: 8 * d * d + 9 * d, "Attention is missing"),
        (lambda d, bias: 7_087_872 if bias else 7_085_568, "any emb_dim"),
        (lambda d, bias: 12 * d * d + 10 * d + 3 * d * bias + 1, "7085569; expected is int 7085568"),
        (7_085_568, "Expected a function"),
    ],
    "07.5": [
        ((200, 10, 10), "do not stay at 10"),
        ((200, 8, 10), "larger, not smaller"),
        ((200, 12, 10), "9,600"),
        ((200, 10, 8), "first described"),
        ((800, 12.5, 10), "not the share that is kept"),
        ((200, 12.5, 12.5), "first two are right"),
        ((200, 12.5, 0), "first two are right"),
        ((200, 11, 10), "not right at place 1"),
        ((200, 50, 10), "not by the share that is dropped"),
        ((187, 12.5, 10), "on average?"),
        ("200", "Expected a tuple"),
    ],
    "07.6": [
        (lambda blocks, x: stream_after(blocks, x, keep="road"), "keep the road"),
        (blocks_never_advance, "reads the original x. It should read what"),
        (lambda blocks, x: stream_after(blocks, x, advance=False), "All your parts read the original"),
        (reads_the_same_stream, "before attention has written"),
        (lambda blocks, x: stream_after(blocks, x, norm=False), "without their norms"),
        (kinds_apart, "order is not"),
        (becomes_the_writing, "x = x + write"),
        (one_for_each_block, "the result has shape (2, 1, 1, 4)"),
        (with_the_start, "the result has shape (5, 1, 1, 4)"),
        (lambda blocks, x: list(stream_after(blocks, x)), "expected is a tensor of shape"),
    ],
}
