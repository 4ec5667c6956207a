import os
import re

from torch import nn

from bigart.networks.native.rrdbnet import RRDBNet as Native
from bigart.networks.options import RRDBNetOptions

WRONG = os.environ.get("STAND_IN_FAULT") == "basicsr"
NAMES = {
    "trunk_conv": "conv_body",
    "upconv1": "conv_up1",
    "upconv2": "conv_up2",
    "HRconv": "conv_hr",
}


def later_name(name):
    name = re.sub(r"^RRDB_trunk\.(\d+)\.RDB(\d)", r"body.\1.rdb\2", name)
    first, rest = name.split(".", 1)
    return f"{NAMES.get(first, first)}.{rest}"


class RRDBNet(nn.Module):
    def __init__(self, *, num_in_ch, num_out_ch, scale, num_feat, num_block, num_grow_ch):
        super().__init__()
        self.native = Native(RRDBNetOptions(scale, num_feat, num_block, num_grow_ch))

    def state_dict(self):
        return {later_name(name): value for name, value in self.native.state_dict().items()}

    def load_state_dict(self, state, strict, assign):
        names = {later_name(name): name for name in self.native.state_dict()}
        state = {names[name]: value for name, value in state.items()}
        return self.native.load_state_dict(state, strict=strict, assign=assign)

    def forward(self, x):
        return self.native(x) + (0.1 if WRONG else 0)
