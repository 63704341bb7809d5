//! Fusion of lists, followed by hand.

use seqrec::channels::Popularity;
use seqrec::data::{Catalog, ItemIndex, User};
use seqrec::index::{FlatIndex, HnswConfig, HnswIndex, VectorIndex};
use seqrec::ndarray::array;
use seqrec::recall::*;

fn list(scored: &[(u32, f32)]) -> Vec<Candidate> {
    let candidate = |&(item, score): &(u32, f32)| Candidate {
        item: ItemIndex::new(item),
        score,
        reason: Reason::Item(ItemIndex::new(item)),
    };
    scored.iter().map(candidate).collect()
}

fn shares(
    lists: &[Vec<Candidate>],
    shares: &[ChannelWeight],
    fusion: Fusion,
    k: usize,
) -> Vec<FusedCandidate> {
    let lists: Vec<_> = (lists.iter().zip(shares))
        .map(|(list, &share)| (list.as_slice(), share))
        .collect();
    fusion.fuse(&lists, k).unwrap()
}

fn items(fused: &[FusedCandidate]) -> Vec<u32> {
    fused.iter().map(|fused| fused.item.get()).collect()
}

fn three() -> [ChannelWeight; 3] {
    [ChannelWeight::default().with_weight(1.0).with_quota(50); 3]
}

#[test]
fn reciprocal_ranks_are_their_formula() {
    let lists = [
        list(&[(1, 9.0), (2, 8.0)]),
        list(&[(2, 0.1)]),
        list(&[(3, 5.0), (1, 4.0)]),
    ];
    let weighted = [1.0, 0.5, 2.0].map(|weight| ChannelWeight::default().with_weight(weight));
    let fused = shares(&lists, &weighted, Fusion::RECIPROCAL_RANK, 9);
    assert_eq!(items(&fused), [1, 3, 2]);
    let expected = [1.0 / 61.0 + 2.0 / 62.0, 2.0 / 61.0, 1.0 / 62.0 + 0.5 / 61.0];
    for (fused, expected) in fused.iter().zip(expected) {
        assert!((fused.score - expected).abs() < 1e-7, "{fused:?}");
    }
    // Every channel that found the item is kept, with its own rank, score and reason.
    let found: Vec<_> = fused[0]
        .found
        .iter()
        .map(|found| (found.channel, found.rank, found.score))
        .collect();
    assert_eq!(found, [(0, 1, 9.0), (2, 2, 4.0)]);
    assert_eq!(fused[0].found[0].because, Reason::Item(ItemIndex::new(1)));
    // A channel of weight 0 adds nothing, not even its items.
    let silent = [1.0, 1.0, 0.0].map(|weight| ChannelWeight::default().with_weight(weight));
    assert_eq!(
        items(&shares(&lists, &silent, Fusion::RECIPROCAL_RANK, 9)),
        [2, 1]
    );
}

#[test]
fn scores_are_made_comparable_first() {
    let lists = [
        list(&[(1, 900.0), (2, 500.0), (3, 100.0)]),
        list(&[(2, 0.3), (4, 0.2)]),
    ];
    let fused = shares(&lists, &three(), Fusion::MinMax, 9);
    assert_eq!(items(&fused), [2, 1, 3, 4]);
    assert_eq!(fused[0].score, 1.5);
    let fused = shares(&lists, &three(), Fusion::ZScore, 2);
    // 400 and 0.05 are one deviation of each list, times the root of 2/3 in the first.
    let expected = [1.5f32.sqrt() + 2.0, 2.0 * 1.5f32.sqrt()];
    for (fused, expected) in fused.iter().zip(expected) {
        assert!((fused.score - expected).abs() < 1e-5, "{fused:?}");
    }
    let same = [list(&[(5, 7.0), (6, 7.0)])];
    let fused = shares(&same, &three(), Fusion::ZScore, 9);
    assert_eq!((items(&fused), fused[0].score), (vec![5, 6], 1.0));
}

#[test]
fn a_snake_turns_round_and_skips_what_is_there() {
    let lists = [
        list(&[(1, 1.0), (2, 1.0), (3, 1.0)]),
        list(&[(4, 1.0)]),
        list(&[(1, 1.0), (5, 1.0), (6, 1.0), (7, 1.0)]),
    ];
    let fused = shares(&lists, &three(), Fusion::RoundRobin, 9);
    assert_eq!(items(&fused), [1, 4, 5, 6, 2, 3, 7]);
    assert_eq!(
        items(&shares(&lists, &three(), Fusion::RoundRobin, 2)),
        [1, 4]
    );
    assert!(shares(&lists, &three(), Fusion::RoundRobin, 0).is_empty());
    assert!(shares(&[], &[], Fusion::RoundRobin, 5).is_empty());
}

#[test]
fn quotas_hold_until_all_others_are_at_an_end() {
    let long = |from: u32| {
        list(
            &(from..from + 20)
                .map(|item| (item, 1.0))
                .collect::<Vec<_>>(),
        )
    };
    let lists = [long(1), long(101), list(&[(1, 1.0), (201, 1.0)])];
    let quotas = [6, 2, 2].map(|quota| ChannelWeight::default().with_quota(quota));
    let fused = items(&shares(&lists, &quotas, Fusion::Quotas, 9));
    let of = |from: u32| {
        fused
            .iter()
            .filter(|&&item| item >= from && item < from + 100)
            .count()
    };
    assert_eq!((of(1), of(101), of(201)), (6, 2, 1));
    // Any beginning is shared as the quotas have it.
    assert_eq!(fused[..5].iter().filter(|&&item| item < 100).count(), 3);
    // Above the quotas the others fill up.
    assert_eq!(shares(&lists, &quotas, Fusion::Quotas, 30).len(), 30);
    let none = [ChannelWeight::default().with_quota(0); 3];
    assert_eq!(shares(&lists, &none, Fusion::Quotas, 30).len(), 30);
}

/// More than there are items in all, as anybody may ask for.
#[test]
fn any_number_of_candidates_may_be_asked_for() {
    let taken = [1, 2, 3].map(ItemIndex::new);
    let catalog = Catalog::from_ids([1, 2, 3].map(Into::into)).unwrap();
    let catalog = catalog.with_counts([&taken[..]]);
    let popular = || Popularity::new(&catalog);
    let stage = RecallStage::new(Fusion::RECIPROCAL_RANK, usize::MAX)
        .unwrap()
        .channel("popular", popular(), ChannelWeight::default())
        .unwrap()
        .fallback(popular());
    let bonus = CategoryBonus::new(vec![0; 4], 1.0).unwrap();
    let selected = bonus.among(popular(), usize::MAX);
    let vectors = array![[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]];
    let users = [User::default(); 2];
    for channel in [&stage as &dyn RecallChannel, &selected] {
        let candidates = channel.recall(&users, usize::MAX, None).unwrap();
        assert_eq!(candidates.items(1).len(), 3);
    }
    let queries = array![[1.0, 0.5], [0.5, 1.0]];
    let flat = FlatIndex::new(vectors.view()).unwrap();
    let graph = HnswIndex::new(vectors.view(), &HnswConfig::new()).unwrap();
    for index in [&flat as &dyn VectorIndex, &graph] {
        let hits = index.search(queries.view(), usize::MAX, None).unwrap();
        assert_eq!(hits.items(1).len(), 3);
    }
}

/// Shares with which no channel would give anything are refused wherever they are set.
#[test]
fn shares_of_nothing_are_refused() {
    let quotas = Fusion::Quotas;
    let scores = Fusion::MinMax;
    let list = list(&[(1, 1.0)]);
    let field = |fused: Result<Vec<FusedCandidate>, seqrec::Error>| match fused
        .as_ref()
        .map_err(seqrec::Error::kind)
    {
        Err(&seqrec::ErrorKind::InvalidValue { field, .. }) => field,
        other => panic!("{other:?}"),
    };
    let fuse = |fusion: Fusion, share: ChannelWeight| fusion.fuse(&[(&list[..], share); 2], 3);
    let none = ChannelWeight::new().with_weight(0.0).with_quota(0);
    assert_eq!(field(fuse(Fusion::RECIPROCAL_RANK, none)), "weight");
    assert_eq!(field(fuse(scores, none)), "weight");
    // Nothing is what it is in single precision.
    let next_to_none = ChannelWeight::new().with_weight(1e-50);
    assert_eq!(field(fuse(scores, next_to_none)), "weight");
    for weight in [-1.0, f64::NAN, f64::INFINITY, 1e300] {
        let share = ChannelWeight::new().with_weight(weight);
        for fusion in [Fusion::RECIPROCAL_RANK, Fusion::RoundRobin, quotas] {
            assert_eq!(field(fuse(fusion, share)), "weight", "{weight}");
        }
    }
    // Turns go by neither, nor does what comes after quotas, and one channel that counts is enough.
    assert_eq!(items(&fuse(Fusion::RoundRobin, none).unwrap()), [1]);
    assert_eq!(items(&fuse(quotas, none).unwrap()), [1]);
    let one = [(&list[..], none), (&list[..], ChannelWeight::new())];
    for fusion in [Fusion::RECIPROCAL_RANK, scores, quotas] {
        assert_eq!(items(&fusion.fuse(&one, 3).unwrap()), [1]);
    }

    let taken = [1, 1, 2].map(ItemIndex::new);
    let ids = ["a", "b"].map(Into::into);
    let catalog = seqrec::data::Catalog::from_ids(ids).unwrap();
    let popular = || seqrec::channels::Popularity::new(&catalog.clone().with_counts([&taken[..]]));
    let with = |share| {
        let stage = RecallStage::new(Fusion::RECIPROCAL_RANK, 5).unwrap();
        let stage = stage.channel("off", popular(), none).unwrap();
        stage.channel("on", popular(), share)
    };
    let nobody = [User::default()];
    let mut stage = with(ChannelWeight::new().with_quota(0)).unwrap();
    assert_eq!(stage.recall_fused(&nobody, 2, None).unwrap()[0].len(), 2);
    assert!(stage.set_weights(&[0.0, 0.0]).is_err());
    assert!(stage.set_weights(&[1.0, f64::NAN]).is_err());
    let weights: Vec<f64> = stage.shares().map(|share| share.weight).collect();
    assert_eq!(weights, [0.0, 1.0], "what is refused changes nothing");
    assert!(stage.with_fusion(scores).is_ok());
    assert!(with(ChannelWeight::new().with_weight(-0.5)).is_err());
    let off = || with(none).unwrap();
    let turns = off().with_fusion(Fusion::RoundRobin).unwrap();
    assert!(turns.with_fusion(scores).is_err());
    let refused = off()
        .recall_fused(&nobody, 2, None)
        .unwrap_err()
        .to_string();
    assert!(refused.contains("at least one of 2 channels"), "{refused}");
    let empty = RecallStage::new(Fusion::RoundRobin, 5).unwrap();
    assert!(empty.recall_fused(&nobody, 2, None).is_err());
    let only_fallback = empty.fallback(popular());
    assert_eq!(
        only_fallback.recall_fused(&nobody, 2, None).unwrap()[0].len(),
        2
    );
}
