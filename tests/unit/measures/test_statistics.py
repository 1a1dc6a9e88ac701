import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from howfar.errors import NotMeasurableError
from howfar.measures.statistics import (
    MIN_DOCUMENTS,
    Gains,
    auc_alone,
    bootstrap,
    correlation,
    equivalence_of_estimate,
    fitting,
    holm,
    mean,
    nested_scores,
    over_intervals,
    over_seeds,
    probe_scores,
    ratio,
    resampling,
    roc_auc,
    wilcoxon,
)
from howfar.measures.statistics.gains import growth_near_none

RNG = np.random.default_rng


def clustered_scores(seed: int, num_documents: int = 40, per_document: int = 25, separation: float = 0.0):
    """Scores with a shift of each document's own, so that items of a document are alike."""
    rng = RNG(seed)
    documents = np.repeat(np.arange(num_documents), per_document)
    labels = rng.random(len(documents)) < 0.4
    scores = rng.normal(size=len(documents)) + separation * labels + rng.normal(size=num_documents)[documents]
    return scores, labels, documents


class TestBootstrap:
    def test_agrees_with_scipy(self):
        values = RNG(0).exponential(size=60)
        ours = ratio(values, np.ones(60), num_resamples=4000)
        theirs = stats.bootstrap((values,), np.mean, n_resamples=4000, rng=1)
        assert ours.value == pytest.approx(values.mean())
        assert ours.error == pytest.approx(stats.sem(values)) == pytest.approx(theirs.standard_error, rel=0.05)
        assert ours.replicates.std() == pytest.approx(theirs.bootstrap_distribution.std(), rel=0.05)

    def test_covers_the_truth_about_as_often_as_it_says(self):
        # 200 samples of 50 documents whose items share a shift: an interval over items would cover far too rarely.
        covered = 0
        for seed in range(200):
            scores, _, documents = clustered_scores(seed, num_documents=50)
            estimate = mean(scores, documents, num_resamples=400)
            covered += bool(estimate.low <= 0 <= estimate.high)
        assert 0.89 <= covered / 200 <= 0.985

    @pytest.mark.parametrize("limits", [(0.0, 2.0), (0.0, np.inf)])
    def test_a_mean_near_its_limit_has_no_interval_beyond_it(self, limits):
        # A few of many tokens are far from 0: around the mean, an interval on its own scale begins below 0.
        sizes = np.tile([5.0, 40.0, 200.0], 5)
        sums = 0.002 * sizes + np.r_[6.0, np.zeros(6), 1.0, np.zeros(6), 12.0]
        beyond, within = ratio(sums, sizes), ratio(sums, sizes, limits=limits)
        assert beyond.low < 0 < within.low < within.value < within.high < 2
        assert within.p_value(within.high * 1.01) < 0.05 < within.p_value(within.high * 0.99)
        assert ratio(sums, sizes, limits=(-np.inf, np.inf)).row() == beyond.row()  # no limit at all

    def test_near_a_limit_intervals_cover_the_truth_more_often(self):
        covered = np.zeros(2)
        for seed in range(150):
            rng = RNG(seed)
            sizes = np.maximum(1, rng.lognormal(2.5, 1.0, 60)).astype(int)
            sums = 2.0 * rng.binomial(sizes, 1 - rng.beta(0.3, 6, 60))  # most documents have nothing but 2
            for kind, limits in enumerate((None, (0.0, 2.0))):
                estimate = ratio(sums, sizes, limits=limits, num_resamples=400)
                covered[kind] += bool(estimate.low <= 2 * (1 - 0.3 / 6.3) <= estimate.high)
        assert covered[0] + 3 < covered[1]
        assert covered[1] / 150 > 0.9

    def test_a_quotient_of_what_cannot_be_negative_cannot_either(self):
        sums = np.r_[6.0, np.zeros(6), 1.0, np.zeros(6), 12.0] + 0.1
        rare, all_of_them = (ratio(of, np.full(15, 50.0), limits=(0.0, 2.0)) for of in (sums, np.full(15, 50.0)))
        assert (rare / all_of_them).low > 0
        assert (rare / ratio(np.full(15, 50.0), np.full(15, 50.0))).low < 0  # which may be negative, for all it says

    def test_ratio_weights_documents_by_their_size(self):
        nats, num_bytes = np.r_[np.full(19, 1.0), 190.0], np.r_[np.full(19, 1.0), 19.0]
        assert ratio(nats, num_bytes).value == pytest.approx((19 + 190) / (19 + 19))

    def test_mean_keeps_leading_axes(self):
        values = RNG(0).normal(size=(3, 2, 100))
        estimate = mean(values, np.arange(100) // 5)
        assert estimate.value.shape == (3, 2)
        assert np.allclose(estimate.value, values.mean(-1))
        assert ((estimate.low < estimate.value) & (estimate.value < estimate.high)).all()

    def test_differences_are_paired(self):
        documents = RNG(0).normal(size=30) * 100
        a, b = ratio(documents + 1.0, np.ones(30)), ratio(documents, np.ones(30))
        difference = a - b
        assert difference.low == pytest.approx(1)
        assert difference.high == pytest.approx(1)

    def test_refuses_to_subtract_what_is_of_other_documents(self):
        with pytest.raises(ValueError, match="same documents"):
            ratio(np.ones(12), np.ones(12)) - ratio(np.ones(13), np.ones(13))

    def test_refuses_an_interval_of_few_documents(self):
        few = MIN_DOCUMENTS - 1
        with pytest.raises(NotMeasurableError, match=f"{few} documents give no interval"):
            ratio(np.ones(few), np.ones(few))

    @pytest.mark.parametrize("carriers", [1, 2, 3, MIN_DOCUMENTS - 1])
    def test_what_few_documents_carry_has_a_value_and_no_interval(self, carriers):
        # Resamples draw few of these documents, or none: an interval would be too sure.
        present = np.arange(30) < carriers
        estimate = ratio(present * (2.0 + np.arange(30)), present)
        assert estimate.value == pytest.approx(2 + (carriers - 1) / 2)
        assert np.isnan([estimate.low, estimate.high]).all()

    def test_what_few_documents_of_unequal_size_carry_has_none_either(self):
        present = (np.arange(30) < 5) * (1.0 + np.arange(30))
        estimate = ratio(present * RNG(0).normal(2, 1, size=30), present)
        assert np.isnan([estimate.low, estimate.high, estimate.p_value()]).all()

    def test_documents_that_hardly_differ_have_a_narrow_interval(self):
        estimate = ratio(0.02 + 1e-9 * RNG(0).normal(size=12), np.ones(12))
        assert 0 < estimate.high - estimate.low < 1e-8

    def test_what_enough_documents_carry_has_an_interval(self):
        present = np.arange(30) < 10
        estimate = ratio(present * RNG(0).normal(2, 1, size=30), present)
        assert estimate.low < 2 < estimate.high

    def test_all_values_missing_gives_no_interval(self):
        estimate = ratio(np.zeros((2, 10)), np.stack([np.zeros(10), np.ones(10)]))
        assert np.isnan(estimate.low[0])
        assert estimate.low[1] == 0

    def test_is_reproducible_and_seeded(self):
        values = RNG(0).normal(size=20)
        assert (ratio(values, np.ones(20)).replicates == ratio(values, np.ones(20)).replicates).all()
        assert (ratio(values, np.ones(20), seed=1).replicates != ratio(values, np.ones(20)).replicates).any()

    def test_influences_of_many_documents_stand_for_resamples(self, monkeypatch):
        scores, labels, documents = clustered_scores(0, num_documents=300, per_document=10, separation=0.7)
        strata = RNG(1).integers(40, size=len(scores))
        exact = roc_auc(scores, labels, documents, strata=[strata])
        monkeypatch.setattr(resampling, "MANY_DOCUMENTS", 300)
        quick = roc_auc(scores, labels, documents, strata=[strata])
        width = exact.high - exact.low
        assert quick.value == exact.value
        assert abs(quick.low - exact.low) < 0.05 * width > abs(quick.high - exact.high)

    def test_batches_do_not_change_the_result(self, monkeypatch):
        values = RNG(0).normal(size=20)
        whole = ratio(values, np.ones(20)).replicates
        monkeypatch.setattr(resampling, "_BATCH_ELEMENTS", 20 * 7)
        assert np.allclose(ratio(values, np.ones(20)).replicates, whole)


class TestRocAuc:
    @pytest.mark.parametrize("num_strata", [1, 4, 60])
    def test_alone_equals_the_value_of_the_estimate(self, num_strata):
        scores, labels, documents = clustered_scores(0, separation=0.7)
        several = np.round(np.stack([scores, -scores, RNG(1).normal(size=len(scores))]), 1)  # with ties
        strata = [RNG(2).integers(num_strata, size=len(scores)) - 2]
        expected = roc_auc(several, labels, documents, strata=strata, num_resamples=20).value
        np.testing.assert_allclose(auc_alone(several, labels, strata=strata), expected, atol=1e-12)

    def test_alone_is_nan_where_nothing_can_be_compared(self):
        labels = np.arange(8) % 2 == 0
        assert np.isnan(auc_alone(np.zeros((3, 8)), labels, strata=[labels])).tolist() == [True] * 3

    def test_equals_scikit_learn(self):
        scores, labels, documents = clustered_scores(0, separation=0.7)
        scores = np.round(scores, 1)  # with ties
        assert roc_auc(scores, labels, documents).value == pytest.approx(roc_auc_score(labels, scores))

    def test_each_resample_equals_scikit_learn_with_weights(self):
        scores, labels, documents = clustered_scores(1)
        scores = np.round(scores, 1)
        weights = bootstrap(lambda weights: weights.T, 40, num_resamples=20).replicates
        estimate = roc_auc(scores, labels, documents, num_resamples=20)
        for resample in range(20):
            expected = roc_auc_score(labels, scores, sample_weight=weights[documents, resample])
            assert estimate.replicates[resample] == pytest.approx(expected)

    @pytest.mark.parametrize("auc", [0.25, 0.5, 0.75, 0.9])
    def test_recovers_a_known_auc(self, auc):
        # Normal scores a distance d apart have AUC = Phi(d / sqrt 2).
        rng, num = RNG(2), 4000
        labels = rng.random(num) < 0.5
        scores = rng.normal(size=num) + labels * np.sqrt(2) * stats.norm.ppf(auc)
        estimate = roc_auc(scores, labels, np.arange(num) // 20)
        assert estimate.low <= auc <= estimate.high
        assert estimate.high - estimate.low < 0.06

    @pytest.mark.parametrize("sign", [1, -1])
    @pytest.mark.parametrize("num_wrong", [1, 3])
    def test_a_score_that_a_single_document_contradicts_is_known_well(self, num_wrong, sign):
        # Without this document a resample's AUC is 1, whose log odds are infinite.
        labels = np.tile([0, 1], 400)
        scores = labels + RNG(0).random(800) / 2
        scores[: 2 * num_wrong : 2] += 0.8
        estimate = roc_auc(sign * scores, labels, np.arange(800) // 20)
        best = 1.0 if sign == 1 else 0.0
        assert abs(estimate.value - best) < 0.01
        assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1
        assert max(abs(estimate.low - best), abs(estimate.high - best)) < 0.05
        assert estimate.p_value(0.5) < 0.01
        together = estimate[None].simultaneous(0.5)
        assert max(abs(together.low - best), abs(together.high - best)).item() < 0.05

    def test_order_reversed_is_reported_below_a_half(self):
        labels = np.arange(40) % 2 == 0
        assert roc_auc(-labels.astype(float), labels, np.arange(40)).value == 0

    def test_a_constant_score_is_worth_a_half(self):
        labels = np.arange(40) % 2 == 0
        estimate = roc_auc(np.ones(40), labels, np.arange(40) // 4)
        assert (estimate.value, estimate.low, estimate.high) == (0.5, 0.5, 0.5)

    @pytest.mark.parametrize("labels", [np.ones(40), np.zeros(40)])
    def test_refuses_one_class(self, labels):
        with pytest.raises(NotMeasurableError, match="all 40 labels are"):
            roc_auc(np.arange(40.0), labels, np.arange(40))

    def test_refuses_no_items(self):
        with pytest.raises(NotMeasurableError, match="there are no items"):
            roc_auc(np.zeros(0), np.zeros(0), np.zeros(0))

    def test_refuses_scores_that_cannot_be_ranked(self):
        with pytest.raises(NotMeasurableError, match="infinite or NaN"):
            roc_auc(np.r_[np.nan, np.arange(39.0)], np.arange(40) % 2, np.arange(40))


class TestStrata:
    def test_equals_a_count_of_pairs(self):
        scores, labels, documents = clustered_scores(0, num_documents=12, per_document=8)
        scores, strata = np.round(scores, 1), RNG(1).integers(4, size=len(scores))
        pairs = [(i, j) for i in np.flatnonzero(labels) for j in np.flatnonzero(~labels) if strata[i] == strata[j]]
        expected = np.mean([(scores[i] > scores[j]) + (scores[i] == scores[j]) / 2 for i, j in pairs])
        estimate = roc_auc(scores, labels, documents, strata=[strata])
        assert estimate.value == pytest.approx(expected)

    def test_without_a_document_equals_computing_anew(self):
        scores, labels, documents = clustered_scores(3, num_documents=12, per_document=8)
        scores, strata = np.round(scores, 1), RNG(1).integers(4, size=len(scores))
        estimate = roc_auc(scores, labels, documents, strata=[strata])
        for left_out in (0, 5, 11):
            kept = documents != left_out
            anew = roc_auc(scores[kept], labels[kept], documents[kept], strata=[strata[kept]])
            assert estimate.left_out[left_out] == pytest.approx(float(anew.value))

    def test_what_identity_alone_tells_vanishes(self):
        rng = RNG(0)
        documents, identity = np.arange(4000) // 20, rng.integers(30, size=4000)
        labels = rng.random(4000) < rng.random(30)[identity]
        scores = np.bincount(identity, labels)[identity] + rng.normal(size=4000)
        raw, within = roc_auc(scores, labels, documents), roc_auc(scores, labels, documents, strata=[identity])
        assert raw.low > 0.55
        assert within.low < 0.5 < within.high

    def test_what_is_not_identity_stays(self):
        rng = RNG(0)
        documents, identity = np.arange(4000) // 20, rng.integers(30, size=4000)
        labels = rng.random(4000) < rng.random(30)[identity]
        scores = 3.0 * identity + labels + rng.normal(size=4000)
        assert roc_auc(scores, labels, documents, strata=[identity]).low > 0.7

    def test_documents_without_anything_to_compare_do_not_count(self):
        # Only the first three documents' items share a stratum with items of the other class.
        documents, labels = np.repeat(np.arange(20), 4), np.tile([True, False], 40)
        strata = np.where(documents < 3, 0, 1 + np.arange(80))
        estimate = roc_auc(RNG(0).normal(size=80), labels, documents, strata=[strata])
        assert estimate.num_carriers == 3
        assert np.isnan([estimate.low, estimate.high]).all()
        assert roc_auc(RNG(0).normal(size=80), labels, documents).num_carriers == 20

    def test_strata_of_one_class_leave_nothing_to_compare(self):
        labels = np.arange(40) % 2 == 0
        with pytest.raises(NotMeasurableError, match="no stratum has items of both classes"):
            roc_auc(np.arange(40.0), labels, np.arange(40), strata=[labels])


class TestSimultaneous:
    def test_is_wider_than_each_interval_alone(self):
        scores = np.stack([clustered_scores(seed)[0] for seed in range(6)])
        _, labels, documents = clustered_scores(0)
        estimate = roc_auc(scores, labels, documents)
        together = estimate.simultaneous(0.5)
        assert (together.high - together.low > estimate.high - estimate.low).all()

    def test_best_of_many_null_layers_is_rarely_called_real(self):
        # The best of 12 scores without any signal: uncorrected, about 46% of the time one interval excludes 0.5.
        corrected = uncorrected = 0
        for seed in range(60):
            rng = RNG(seed)
            documents, labels = np.arange(600) // 15, rng.random(600) < 0.5
            estimate = roc_auc(rng.normal(size=(12, 600)), labels, documents, num_resamples=300)
            uncorrected += bool(((estimate.low > 0.5) | (estimate.high < 0.5)).any())
            corrected += bool((estimate.simultaneous(0.5).p_value < 0.05).any())
        assert uncorrected / 60 > 0.3
        assert corrected / 60 < 0.15

    def test_finds_a_planted_layer(self):
        rng = RNG(0)
        documents, labels = np.arange(600) // 15, rng.random(600) < 0.5
        scores = rng.normal(size=(6, 600))
        scores[3] += labels
        p_values = roc_auc(scores, labels, documents).simultaneous(0.5).p_value
        assert p_values[3] < 0.01
        assert (np.delete(p_values, 3) > 0.05).all()

    def test_a_constant_has_no_evidence(self):
        together = roc_auc(np.ones((1, 40)), np.arange(40) % 2, np.arange(40)).simultaneous(0.5)
        assert together.p_value[0] == 1
        assert together.low[0] == together.high[0] == 0.5


def added(base, additions, labels, documents, **options):
    """What each addition adds to the AUC beyond what a useless one does."""
    models = nested_scores(base, additions, labels, documents, **options)
    return models, models.gains(labels, documents)


class TestCrossFitted:
    def test_a_feature_that_only_bends_another_adds_nothing(self):
        rng = RNG(0)
        documents, base = np.arange(3000) // 30, rng.normal(size=(3000, 1))
        labels = rng.random(3000) < 1 / (1 + np.exp(-2 * np.abs(base[:, 0])))
        models, gains = added(base, [np.exp(base)], labels, documents)
        assert models.base.auc(labels, documents).value > 0.65
        assert abs(gains[0].value) < 0.01

    def test_finds_what_a_feature_adds(self):
        rng = RNG(0)
        documents, features = np.arange(3000) // 30, rng.normal(size=(3000, 2))
        labels = features.sum(axis=1) + rng.normal(size=3000) > 0
        _, gains = added(features[:, :1], [features[:, 1:]], labels, documents)
        assert gains[0].low > 0.05

    @pytest.mark.parametrize("kind", ["linear", "mlp"])
    def test_noise_does_not_pay(self, kind):
        # In sample, 50 columns of noise would look predictive; held out they are worth nothing.
        rng = RNG(0)
        documents, labels = np.arange(400) // 10, rng.random(400) < 0.5
        estimate = probe_scores(rng.normal(size=(400, 50)), labels, documents, kind=kind).auc(labels, documents)
        assert estimate.low < 0.5 < estimate.high

    def test_documents_are_not_split(self):
        # Each document's items share a label and a fingerprint: only a leak could tell the labels.
        rng = RNG(0)
        documents = np.repeat(np.arange(60), 20)
        labels = (rng.random(60) < 0.5)[documents]
        fingerprint = rng.normal(size=(60, 59))[documents]
        assert 0.2 < probe_scores(fingerprint, labels, documents).auc(labels, documents).value < 0.8

    def test_a_hidden_layer_finds_what_no_line_does(self):
        rng = RNG(0)
        documents, features = np.arange(3000) // 30, rng.normal(size=(3000, 2))
        labels = features.prod(axis=1) > 0
        linear, mlp = (
            probe_scores(features, labels, documents, kind=kind, num_neurons=32).auc(labels, documents).value
            for kind in ("linear", "mlp")
        )
        assert linear < 0.6 < 0.9 < mlp

    def test_a_lookup_of_categories_is_part_of_the_base(self):
        # What stands before an item decides its label, and the feature only repeats what that is.
        rng = RNG(0)
        documents, category = np.arange(3000) // 30, rng.integers(40, size=3000)
        chances, feature = rng.random(40)[category], rng.normal(size=40)[category]
        labels = rng.random(3000) < chances
        nothing = np.zeros((3000, 1))
        known, gains = added(nothing, [feature[:, None]], labels, documents, categories=category[:, None])
        _, naive = added(nothing, [feature[:, None]], labels, documents)
        assert known.base.auc(labels, documents).value > 0.7
        assert naive[0].low > 0.05
        assert gains[0].low < 0 < gains[0].high or abs(gains[0].value) < 0.005

    def test_categories_that_are_never_seen_twice_tell_nothing(self):
        rng = RNG(0)
        documents, labels = np.arange(1500) // 30, rng.random(1500) < 0.4
        models = nested_scores(np.zeros((1500, 1)), [], labels, documents, categories=np.arange(1500)[:, None])
        estimate = models.base.auc(labels, documents)
        assert estimate.low <= 0.5 <= estimate.high

    def test_folds_are_not_pooled(self):
        # A part with many positives is scored by a model that saw few of them: pooled, a null lies below a half.
        pooled, within = [], []
        for seed in range(30):
            rng = RNG(seed)
            documents = np.repeat(np.arange(40), 20)
            labels = rng.random(800) < rng.beta(2, 2, size=40)[documents]
            scores = probe_scores(rng.normal(size=(800, 3)), labels, documents)
            pooled.append(float(roc_auc(scores.scores, labels, documents, num_resamples=20).value))
            within.append(float(scores.auc(labels, documents, num_resamples=20).value))
        assert np.mean(pooled) < 0.49
        assert np.mean(within) == pytest.approx(0.5, abs=0.01)

    def test_models_of_noise_disagree_and_models_of_a_signal_do_not(self):
        rng = RNG(0)
        documents, features = np.repeat(np.arange(40), 25), rng.normal(size=(1000, 10))
        noise, signal = rng.random(1000) < 0.4, features.sum(axis=1) + rng.normal(size=1000) > 0
        assert probe_scores(features, noise, documents).instability == pytest.approx(1, abs=0.4)
        assert probe_scores(features, signal, documents).instability < 0.05
        assert probe_scores(np.ones((1000, 1)), noise, documents).instability == 0

    def test_disagreement_counts_no_more_than_where_there_is_nothing_to_learn(self):
        # A model of one feature has one sign: folds agree wholly or are opposite, and opposite scores say nothing more.
        rng = RNG(0)
        documents, features = np.repeat(np.arange(40), 25), rng.normal(size=(20, 1000, 1))
        labels = rng.random(1000) < 0.4
        found = [float(probe_scores(feature, labels, documents).instability) for feature in features]
        assert max(found) == 1
        assert min(found) == pytest.approx(0, abs=1e-9)

    def test_where_nothing_is_planted_the_auc_varies_as_its_error_says(self):
        # Documents alone show half of the variance: each part helped to fit the models of the others.
        found = []
        for seed in range(50):
            rng = RNG(seed)
            documents, labels = np.repeat(np.arange(30), 10), rng.random(300) < 0.4
            scores = probe_scores(rng.normal(size=(300, 5)), labels, documents)
            alone = roc_auc(scores.scores, labels, documents, strata=[scores.folds], num_resamples=2)
            found.append((alone.value, alone.error, scores.auc(labels, documents, num_resamples=2).error))
        values, alone, error = np.array(found, dtype=float).T
        assert np.sqrt(np.mean(alone**2)) < 0.85 * values.std()
        assert 0.8 < np.sqrt(np.mean(error**2)) / values.std() < 1.6

    def test_a_gain_varies_as_permuted_features_do(self, monkeypatch):
        monkeypatch.setattr(fitting, "NUM_PERMUTATIONS", 12)
        rng = RNG(0)
        documents, features = np.repeat(np.arange(30), 20), rng.normal(size=(600, 2))
        labels = rng.random(600) < 1 / (1 + np.exp(-2 * features[:, 0]))
        models = nested_scores(features[:, :1], [features[:, 1:]], labels, documents)
        gain, useless = models.gains(labels, documents)[0], models.permuted.auc(labels, documents, num_resamples=2)
        assert useless.value.shape == (12, 1)
        assert gain.value == pytest.approx(float(models.more.auc(labels, documents)[0].value - useless.value.mean()))
        assert gain.error >= 0.9 * useless.value.std(ddof=1)

    def test_what_repeats_a_group_is_no_gain_within_it(self):
        # The feature says which group an item is of, and nothing else; the base knows nothing.
        rng = RNG(0)
        documents, group = np.arange(900) // 30, rng.integers(12, size=900)
        labels = rng.random(900) < rng.random(12)[group]
        options = {"labels": labels, "documents": documents}
        feature = rng.normal(size=12)[group][:, None]
        anyhow, within = (
            nested_scores(np.zeros((900, 1)), [feature], permute_within=groups, **options).gains(**options)[0]
            for groups in (None, group)
        )
        assert anyhow.low > 0
        assert within.value == within.low == within.high == 0

    def test_refuses_few_documents(self):
        with pytest.raises(NotMeasurableError, match="too few to hold some out"):
            probe_scores(np.zeros((40, 1)), np.arange(40) % 2, np.arange(40) // 8)


class TestGains:
    NUM_FOLDS, UNIT = 5, 0.001

    def gains(self, rng, effect: float, num: int, num_coefficients: int = 6):
        """Gains where each fold shows an effect with noise, in units in which the true effect gains half its square."""
        shape = (num, self.NUM_FOLDS, num_coefficients)
        shown = rng.normal(0, np.sqrt(self.NUM_FOLDS * self.UNIT), size=shape) + effect * (np.arange(shape[-1]) == 0)
        fitted = (shown.sum(axis=1, keepdims=True) - shown) / (self.NUM_FOLDS - 1)
        return (fitted * shown - np.square(fitted) / 2).sum(axis=-1).mean(axis=-1)

    def estimate(self, value, useless=4e-6, growth=0.002, num=1):
        influences = RNG(0).normal(size=(num, 40))
        each = (np.full(num, useless), np.full(num, growth), influences, np.full(num, 40))
        return Gains(np.full(num, value), *each, degrees=19)

    @pytest.mark.parametrize("effect", [0.05, 0.1])
    def test_the_variance_rises_with_the_gain_as_said(self, effect):
        none, some = (self.gains(RNG(seed), size, 40_000) for seed, size in enumerate((0.0, effect)))
        growth = growth_near_none(none.var(), np.array([6]), self.NUM_FOLDS).item()
        assert growth == pytest.approx(2 * self.UNIT, rel=0.03)
        gain = some.mean() - none.mean()
        assert gain == pytest.approx(effect**2 / 2, rel=0.05)
        assert some.var() == pytest.approx(none.var() + growth * gain, rel=0.05)

    @pytest.mark.parametrize("value", [-0.006, -0.001, 0.0, 0.003, 0.02])
    def test_an_interval_excludes_what_its_p_value_rejects(self, value):
        found = self.estimate(value)
        for null in np.linspace(-0.02, 0.06, 81):
            assert (found.p_value(null)[0] < 0.05) == (not found.low[0] <= null <= found.high[0])

    def test_no_gain_is_tested_with_the_spread_of_useless_additions(self):
        found, wide = self.estimate(0.0045), self.estimate(0.0045, growth=1.0)
        expected = 2 * stats.t.sf(0.0045 / 0.002, 19)
        assert found.p_value()[0] == pytest.approx(expected, abs=0.006) == wide.p_value()[0]
        assert 0 < wide.low[0] < found.low[0] < found.high[0] < wide.high[0]

    def test_several_need_more_evidence_unless_they_are_one(self):
        several, single = self.estimate(0.0045, num=6), self.estimate(0.0045)
        one = Gains(**vars(several) | {"influences": np.tile(single.influences, (6, 1))})
        assert several.simultaneous().p_value[0] > 2 * single.p_value()[0]
        assert one.simultaneous().p_value[0] == pytest.approx(single.p_value()[0], abs=0.01)

    def test_few_documents_and_what_has_no_value_have_no_interval(self):
        found = self.estimate(0.01, num=3)
        found.num_carriers[0], found.influences[1, 3], found.growth[1] = 9, np.nan, np.nan
        assert np.isnan(found.low).tolist() == np.isnan(found.p_value()).tolist() == [True, True, False]

    def test_useless_features_are_rejected_as_rarely_as_they_should_and_weak_ones_found(self, monkeypatch):
        monkeypatch.setattr(fitting, "NUM_PERMUTATIONS", 10)
        found = {0.0: [], 0.6: []}
        for strength, gains in found.items():
            for seed in range(40):
                rng = RNG(seed)
                documents, features = np.repeat(np.arange(20), 15), rng.normal(size=(300, 2))
                labels = rng.random(300) < 1 / (1 + np.exp(-features @ [1.5, strength]))
                gains.append(added(features[:, :1], [features[:, 1:]], labels, documents)[1][0])
        lows, highs = (np.array([getattr(gain, end) for gain in found[0.0]]) for end in ("low", "high"))
        deviations = np.array([gain.value / np.sqrt(gain.useless) for gain in found[0.0]])
        assert ((lows > 0) | (highs < 0)).sum() <= 6  # of 40; two are to be expected
        assert 0.8 < np.sqrt(np.mean(deviations**2)) < 1.5
        assert sum(gain.low > 0 for gain in found[0.6]) >= 10


def alone(differences):
    return wilcoxon(differences, np.arange(len(differences)))


class TestWilcoxon:
    def test_equals_scipy(self):
        differences = RNG(0).normal(0.3, 1, size=50)
        assert alone(differences).p_value == pytest.approx(stats.wilcoxon(differences).pvalue)

    def test_effect_size_is_favourable_minus_unfavourable_ranks(self):
        differences = np.r_[np.arange(1.0, 11.0), -np.arange(0.5, 4.5)]
        ranks = stats.rankdata(np.abs(differences))
        expected = (ranks[differences > 0].sum() - ranks[differences < 0].sum()) / ranks.sum()
        assert alone(differences).effect_size == pytest.approx(expected)

    @pytest.mark.parametrize(("sign", "effect"), [(1, 1.0), (-1, -1.0)])
    def test_all_on_one_side(self, sign, effect):
        result = alone(sign * np.arange(1.0, 21.0))
        assert result.effect_size == pytest.approx(effect)
        assert result.p_value < 1e-4

    def test_equal_pairs_differ_in_nothing(self):
        result = alone(np.zeros(20))
        assert (result.num_different, result.effect_size, result.p_value) == (0, 0.0, 1.0)

    def test_zeros_are_counted_as_pairs_and_not_ranked(self):
        result = alone(np.r_[np.zeros(5), np.arange(1.0, 16.0)])
        assert (result.num_pairs, result.num_different, result.share_positive) == (20, 15, 0.75)

    def test_refuses_few_pairs(self):
        with pytest.raises(NotMeasurableError, match="give at least"):
            alone([1.0, 2.0])

    @pytest.mark.parametrize("sizes", [[5] * 12, [1] * 30 + [12, 8]])
    def test_what_pairs_share_is_found_no_more_often_than_chance_has_it(self, sizes):
        groups = np.repeat(np.arange(len(sizes)), sizes)
        found = np.zeros(3)  # by the test, by the interval, and by a test that takes all pairs for independent
        for seed in range(200):
            rng = RNG(seed)
            differences = rng.normal(size=len(sizes))[groups] + rng.normal(0, 0.3, size=len(groups))
            test = wilcoxon(differences, groups, num_resamples=400)
            low, high = test.mean_difference.low, test.mean_difference.high
            found += [test.p_value < 0.05, not low <= 0 <= high, alone(differences).p_value < 0.05]
        assert max(found[:2]) <= 18 < found[2]  # of 200; ten are to be expected

    def test_what_groups_have_in_common_is_found(self):
        groups = np.repeat(np.arange(12), 5)
        differences = 1 + RNG(0).normal(0, 0.5, size=12)[groups] + RNG(1).normal(0, 0.3, size=60)
        test = wilcoxon(differences, groups)
        assert (test.num_pairs, test.num_different) == (60, 12)
        assert test.p_value < 0.01
        assert 0 < test.mean_difference.low < test.mean_difference.value == pytest.approx(differences.mean())

    def test_refuses_few_groups(self):
        with pytest.raises(NotMeasurableError, match="9 documents give no interval"):
            wilcoxon(np.arange(45.0), np.repeat(np.arange(9), 5))


def test_holm_multiplies_by_the_number_of_tests_left():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


def test_holm_passes_over_what_was_not_tested():
    corrected = holm([0.01, np.nan, 0.04])
    assert corrected[[0, 2]] == pytest.approx([0.02, 0.04])
    assert np.isnan(corrected[1])


class TestEquivalence:
    @pytest.mark.parametrize(("shift", "equivalent"), [(0.0, True), (0.5, False), (2.0, False)])
    def test_over_documents(self, shift, equivalent):
        differences = RNG(0).normal(shift, 1, size=400)
        result = equivalence_of_estimate(ratio(differences, np.ones(400)), margin=0.2)
        assert result.equivalent is equivalent
        assert (result.p_value < 0.05) is equivalent
        assert str(result).startswith("equivalent within" if equivalent else "not shown equivalent within")


class TestOverSeeds:
    def models(self, seed: int, num_seeds: int = 4, seed_sd: float = 0.3, num: int = 40):
        rng = RNG(seed)
        common = rng.normal(size=num)
        return [
            mean(common + rng.normal(0, seed_sd) + rng.normal(0, 0.3, size=num), np.arange(num), num_resamples=20)
            for _ in range(num_seeds)
        ]

    def test_covers_the_truth_about_as_often_as_it_says(self):
        # One model's documents, or the seeds alone, would cover far too rarely.
        covered = documents_alone = seeds_alone = 0
        for seed in range(300):
            models = self.models(seed)
            low, high = over_seeds(models).interval()
            covered += low <= 0 <= high
            values = np.array([float(model.value) for model in models])
            reach = stats.t.ppf(0.975, 3) * values.std(ddof=1) / 2
            seeds_alone += abs(values.mean()) <= reach
            documents_alone += abs(values[0]) <= 2 * float(models[0].error)
        assert 0.92 <= covered / 300 <= 0.985
        assert seeds_alone / 300 < 0.92
        assert documents_alone / 300 < 0.88

    def test_says_how_much_is_the_seeds(self):
        shares = [np.mean([over_seeds(self.models(s, seed_sd=sd)).seed_share for s in range(20)]) for sd in (0, 0.3, 3)]
        assert shares[0] < 0.15 < shares[1] < 0.85 < shares[2]

    def test_interval_and_equivalence_follow_one_rule(self):
        found = over_seeds(self.models(0))
        low, high = found.interval(0.9)
        reach = max(abs(low), abs(high))
        assert found.equivalence(reach * 1.01).equivalent
        assert not found.equivalence(reach * 0.99).equivalent

    def test_refuses_one_model_and_equal_ones(self):
        models = self.models(0)
        with pytest.raises(NotMeasurableError, match="give at least 2"):
            over_seeds(models[:1])
        with pytest.raises(NotMeasurableError, match="3 differences that do not vary"):
            over_seeds([models[0]] * 3)


class TestOneRule:
    @pytest.mark.parametrize("seed", range(3))
    def test_an_interval_excludes_what_its_p_value_rejects(self, seed):
        estimate = ratio(RNG(seed).exponential(size=30), np.ones(30))
        for null in np.linspace(0.4, 1.8, 57):
            assert (estimate.p_value(null) < 0.05) == (not estimate.low <= null <= estimate.high)

    def test_equivalence_too(self):
        difference = ratio(RNG(0).normal(0.2, 1, size=100), np.ones(100))
        for margin in np.linspace(0.01, 0.8, 40):
            tested = equivalence_of_estimate(difference, margin)
            assert tested.equivalent == (tested.p_value < 0.05) == (-margin < tested.low and tested.high < margin)


class TestCorrelation:
    @pytest.mark.parametrize("rank", [False, True])
    def test_covers_a_known_correlation(self, rank):
        rng = RNG(0)
        x = rng.normal(size=200)
        result = correlation(x, -0.6 * x + 0.8 * rng.normal(size=200), rank=rank)
        assert result.low < -0.58 < result.high
        assert result.p_value < 1e-6

    @pytest.mark.parametrize(("num", "sign"), [(10, 1), (10, -1), (40, 1)])
    def test_the_same_ranks_in_few_pairs_leave_other_correlations_possible(self, num, sign):
        x = np.arange(num)
        found = correlation(x, sign * np.exp(x / 4), rank=True)
        assert found.value == pytest.approx(sign)
        ends = sorted((abs(found.low), abs(found.high)))
        assert ends[1] == pytest.approx(1)
        assert 0.9 < ends[0] < 1 - 6 / (num * (num**2 - 1))  # the next value, with one exchange of neighbours

    def test_ranks_ignore_scale(self):
        x = RNG(0).normal(size=50)
        assert correlation(x, np.exp(5 * x), rank=True).value == pytest.approx(1)

    def test_equals_scipy_with_ties(self):
        rng = RNG(0)
        x, y = rng.integers(0, 5, 60), rng.integers(0, 5, 60)
        assert correlation(x, y, rank=True).value == pytest.approx(stats.spearmanr(x, y).statistic)

    @pytest.mark.parametrize("y", [np.zeros(20), np.arange(20.0)])
    def test_refuses_what_does_not_vary(self, y):
        with pytest.raises(NotMeasurableError, match="cannot be correlated"):
            correlation(np.ones(20), y)


class TestOverIntervals:
    def test_is_no_narrower_than_from_what_documents_do_to_each_model(self):
        models = TestOverSeeds().models(0)
        known = over_seeds(models).interval()
        found = over_intervals(*([getattr(model, side) for model in models] for side in ("value", "low", "high")), 40)
        assert found.value == pytest.approx(over_seeds(models).value)
        assert found.interval()[1] - found.interval()[0] >= 0.9 * (known[1] - known[0])

    def test_models_that_are_alike_owe_nothing_to_their_seed(self):
        alike = over_intervals([0.5, 0.5], [0.4, 0.4], [0.6, 0.6], 30)
        assert alike.seed_share == 0
        assert alike.interval() == pytest.approx((0.4, 0.6))
        assert over_intervals([0.2, 0.8], [0.2, 0.8], [0.2, 0.8], 30).seed_share == 1
        assert over_intervals([0.5, 0.5], [0.5, 0.5], [0.5, 0.5], 30).interval() == (0.5, 0.5)


def test_a_single_different_document_has_no_interval_instead_of_an_endless_one() -> None:
    """A third of the resamples lack it; their error is 0, and rounding must not make it a tiny number."""
    for equal, different in ((125.5, 117.3), (0.1, 0.3), (-1e6, -1e6 + 1)):
        found = mean([equal] * 11 + [different], np.arange(12))
        assert np.isnan(found.low)
        assert np.isnan(found.high)
    same = mean([0.1] * 12, np.arange(12))
    assert (same.low, same.high) == (same.value, same.value)
