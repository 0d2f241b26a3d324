//! Images beside the text of a prompt, in the form of each API.
//!
//! Source: OpenAI API, chat completions (`image_url` parts with data URLs, RFC 2397) and Responses (`input_image`); Anthropic API, Messages
//! (`image` blocks with a `base64` source).

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::template::Template;
use poolproof_client::image::Canvas;
use poolproof_model::api::Api;
use poolproof_model::workload::{Count, Images, Picture};

/// The images of a class.
#[derive(Debug)]
pub(super) struct Pictures {
    count: Count,
    api: Api,
    from: From,
}

#[derive(Debug)]
enum From {
    Seed(Canvas),
    /// The files of a folder, each as its part of a prompt.
    Folder(Vec<Vec<u8>>),
}

impl Pictures {
    /// The images that a class asks for; `pictures` has those of all folders.
    pub(super) fn new(api: Api, images: &Images, pictures: &[Picture], seed: u64) -> Self {
        let own = pictures
            .iter()
            .filter(|it| Some(&it.folder) == images.folder.as_ref());
        let own = own.map(|it| {
            let (before, behind) = around(api, &it.media_type);
            [before.as_bytes(), it.base64.as_bytes(), behind.as_bytes()].concat()
        });
        let own: Vec<Vec<u8>> = own.collect();
        let from = match own.is_empty() {
            true => From::Seed(Canvas::new(seed, images.width, images.height)),
            false => From::Folder(own),
        };
        Self {
            count: images.count,
            api,
            from,
        }
    }
}

impl Template {
    /// Ends the text of a prompt with images, if its class has some: appends a part for each.
    pub(super) fn append_images(&self, into: &mut Vec<u8>, rng: &mut ChaCha8Rng) {
        let Some(images) = &self.images else {
            return;
        };
        into.extend_from_slice(b"\"}");
        for _ in 0..images.count.draw(rng) {
            match &images.from {
                From::Folder(parts) => {
                    into.extend_from_slice(&parts[rng.random_range(0..parts.len())]);
                }
                From::Seed(canvas) => {
                    let (before, behind) = around(images.api, "image/png");
                    into.extend_from_slice(before.as_bytes());
                    canvas.append_base64(into, rng);
                    into.extend_from_slice(behind.as_bytes());
                }
            }
        }
    }
}

/// The body up to the text of its only message.
pub(super) fn before_text(api: Api) -> &'static str {
    match api {
        Api::Responses => {
            "{\"input\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_text\",\"text\":\""
        }
        _ => "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"",
    }
}

/// What stands around the bytes of an image.
fn around(api: Api, media_type: &str) -> (String, &'static str) {
    match api {
        Api::Responses => (
            format!(",{{\"type\":\"input_image\",\"image_url\":\"data:{media_type};base64,"),
            "\"}",
        ),
        Api::Messages => (
            format!(
                ",{{\"type\":\"image\",\"source\":{{\"type\":\"base64\",\"media_type\":\"{media_type}\",\"data\":\""
            ),
            "\"}}",
        ),
        _ => (
            format!(
                ",{{\"type\":\"image_url\",\"image_url\":{{\"url\":\"data:{media_type};base64,"
            ),
            "\"}}",
        ),
    }
}
