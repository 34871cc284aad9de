"""What a table of networks says, as numbers and then as words. Nothing here trains, draws or prints; no torch.

published     the 2014 study as a table like any other
pairs         a network beside its base, and which networks count
differences   a treatment minus another, by layer and over layers, with intervals (intervals)
contrasts     two questions of eight-layer networks, fixed in advance; and whether a base is short of its best
benefits      what transfer gives while a network learns: start, slope, asymptote
comparison    one study against another
conclusions   the study's sentences; brief: three of them, for a first screen; verdicts: what intervals allow to be said
advice        which way to train is advised, by the rule of docs/advise-rule.md; spread: how far measured accuracies may be
              off; advised: what is shown of it, and the advice in three sentences
amounts       by how much data transfer pays; lecture: the lectures' rule of thumb by a study; reduced: the released curve
displayed     what figures and the page show of each network; curves: of each log
words         what kinds of split, halves and chance are called
"""
