from bigart.networks.native.srvggnet import SRVGGNet
from bigart.networks.srvggnet_options import SRVGGNetOptions


class SRVGGNetCompact(SRVGGNet):
    def __init__(self, *, num_in_ch, num_out_ch, num_feat, num_conv, upscale, act_type):
        assert (num_in_ch, num_out_ch, act_type) == (3, 3, "prelu")
        super().__init__(SRVGGNetOptions(upscale, num_feat, num_conv))
