"""The networks of the original packages, behind the interface of this project's own.

`engine: upstream` runs the stages with these: the weights, samplers, noise and files are the same,
and only the modules that compute come from glide-text2im, basicsr and taming-transformers. Each
package is imported when its network is built, and has an environment of its own
(envs/upstream-*.yaml), for they do not work beside each other.
"""
