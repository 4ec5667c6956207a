from bigart.networks.native.vqgan import Codebook


class VectorQuantizer(Codebook):
    def __init__(self, n_e, e_dim, beta):
        super().__init__(n_e, e_dim)

    def forward(self, z):
        flat = z.permute(0, 2, 3, 1).flatten(0, 2)
        return z, None, (None, None, self.nearest(flat)[:, None])

    def get_codebook_entry(self, indices, shape):
        return self.embedding(indices).view(shape).permute(0, 3, 1, 2)
