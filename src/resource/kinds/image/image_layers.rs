//! The layers of an image while docker pulls it: each is downloaded, then extracted.

use std::collections::BTreeMap;

use bollard::models::CreateImageInfo;

use crate::resource::kinds::image::fraction;

/// What docker has told of each layer until now.
#[derive(Debug, Default)]
pub(in crate::resource) struct Layers(BTreeMap<String, Layer>);

#[derive(Debug, Default)]
struct Layer {
    /// Bytes that are downloaded, and all.
    downloaded: (i64, i64),
    /// From 0 to 1, one half when it is downloaded.
    done: f64,
}

impl Layers {
    /// Takes Docker's next message and returns whether it is about a layer.
    pub(in crate::resource) fn hear(&mut self, told: &CreateImageInfo) -> bool {
        let (Some(id), Some(status)) = (&told.id, told.status.as_deref()) else { return false };
        let size = told.progress_detail.as_ref().and_then(|d| d.current.zip(d.total));
        let part = size.map_or(0.0, |(current, all)| current as f64 / all.max(1) as f64);
        let is_new = matches!(status, "Pulling fs layer" | "Already exists" | "Waiting");
        if !is_new && !self.0.contains_key(id) {
            // Such as `Pulling from library/redis`, whose id is the tag.
            return false;
        }
        let layer = self.0.entry(id.clone()).or_default();
        match status {
            "Downloading" => {
                layer.downloaded = size.unwrap_or(layer.downloaded);
                layer.done = part / 2.0;
            }
            "Verifying Checksum" | "Download complete" => {
                layer.downloaded.0 = layer.downloaded.1;
                layer.done = layer.done.max(0.5);
            }
            "Extracting" => layer.done = 0.5 + part / 2.0,
            "Pull complete" | "Already exists" => layer.done = 1.0,
            _ => {}
        }
        true
    }

    /// Such as `3 of 7 layers, 12.3 of 30.1 MB`, and which part of all is done.
    pub(in crate::resource) fn told(&self) -> (String, Option<f32>) {
        let layers = self.0.values();
        let (all, there) = (layers.len(), layers.clone().filter(|l| l.done >= 1.0).count());
        let sum = |pick: fn(&Layer) -> i64| layers.clone().map(pick).sum::<i64>() as f64 / 1e6;
        let (current, total) = (sum(|layer| layer.downloaded.0), sum(|layer| layer.downloaded.1));
        let size = match total > 0.0 {
            true => format!(", {current:.1} of {total:.1} MB"),
            false => String::new(),
        };
        let done: f64 = layers.map(|layer| layer.done).sum();
        (format!("{there} of {all} layers{size}"), fraction(done, all as f64))
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::ProgressDetail;

    use super::*;

    fn told(id: &str, status: &str, size: Option<(i64, i64)>) -> CreateImageInfo {
        let detail =
            |(current, total)| ProgressDetail { current: Some(current), total: Some(total) };
        CreateImageInfo {
            id: Some(id.to_owned()),
            status: Some(status.to_owned()),
            progress_detail: size.map(detail),
            ..CreateImageInfo::default()
        }
    }

    #[test]
    fn a_pull_is_told_by_its_layers() {
        let mut layers = Layers::default();
        assert!(!layers.hear(&told("7-alpine", "Pulling from library/redis", None)));
        for id in ["a", "b", "c", "d"] {
            assert!(layers.hear(&told(id, "Pulling fs layer", None)));
        }
        assert_eq!(layers.told(), ("0 of 4 layers".to_owned(), Some(0.0)));
        layers.hear(&told("a", "Already exists", None));
        layers.hear(&told("b", "Downloading", Some((5_000_000, 10_000_000))));
        layers.hear(&told("c", "Download complete", None));
        assert_eq!(layers.told(), ("1 of 4 layers, 5.0 of 10.0 MB".to_owned(), Some(1.75 / 4.0)));
        layers.hear(&told("b", "Download complete", None));
        layers.hear(&told("b", "Extracting", Some((10_000_000, 10_000_000))));
        layers.hear(&told("b", "Pull complete", None));
        layers.hear(&told("c", "Pull complete", None));
        layers.hear(&told("d", "Pull complete", None));
        assert_eq!(layers.told(), ("4 of 4 layers, 10.0 of 10.0 MB".to_owned(), Some(1.0)));
    }
}
