//! A page of each family of servers, shortened, and pages that are broken.

use super::*;
use poolproof_property::config;
use proptest::prelude::*;

const VLLM: &str = "\
# HELP vllm:num_requests_waiting Number of requests waiting to be processed.
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine=\"0\",model_name=\"m\"} 3.0
vllm:num_requests_waiting{engine=\"1\",model_name=\"m\"} 1.0
vllm:num_requests_running{engine=\"0\",model_name=\"m\"} 8.0
vllm:num_requests_running{engine=\"1\",model_name=\"m\"} 6.0
vllm:kv_cache_usage_perc{engine=\"0\",model_name=\"m\"} 0.5
vllm:kv_cache_usage_perc{engine=\"1\",model_name=\"m\"} 0.25
vllm:gpu_cache_usage_perc{engine=\"0\",model_name=\"m\"} 0.9
vllm:prefix_cache_queries_total{engine=\"0\",model_name=\"m\"} 1000.0
vllm:prefix_cache_queries_created{engine=\"0\",model_name=\"m\"} 1.7e+09
vllm:prefix_cache_hits_total{engine=\"0\",model_name=\"m\"} 400.0
vllm:num_preemptions_total{engine=\"0\",model_name=\"m\"} 2.0
vllm:prompt_tokens_total{engine=\"0\",model_name=\"m\"} 70.0
vllm:generation_tokens_total{engine=\"0\",model_name=\"m\"} 90.0
vllm:request_success_total{engine=\"0\",finished_reason=\"stop\",model_name=\"m\"} 4.0
vllm:request_success_total{engine=\"0\",finished_reason=\"length\",model_name=\"m\"} 5.0
vllm:time_to_first_token_seconds_bucket{engine=\"0\",le=\"+Inf\"} 9.0
";

const SGLANG: &str = "\
sglang:num_running_reqs{model_name=\"m\"} 8.0
sglang:num_queue_reqs{model_name=\"m\"} 4.0
sglang:token_usage{model_name=\"m\"} 0.52
sglang:cache_hit_rate{model_name=\"m\"} 0.28
sglang:num_retracted_reqs{model_name=\"m\",pid=\"7\"} 1.0
sglang:num_retracted_requests_total{model_name=\"m\"} 48.0
sglang:prompt_tokens_total{model_name=\"m\"} 1000.0
sglang:generation_tokens_total{model_name=\"m\"} 2000.0
sglang:num_requests_total{model_name=\"m\"} 20.0
";

const TGI: &str = "\
# TYPE tgi_request_generated_tokens histogram
tgi_request_generated_tokens_bucket{le=\"1\"} 0
tgi_request_generated_tokens_sum 8123
tgi_request_generated_tokens_count 44
tgi_request_input_length_sum 511
tgi_batch_current_size 4
tgi_queue_size 7
tgi_request_success{method=\"batch\"} 44
tgi_request_failure{err=\"overloaded\"} 3
";

const TRITON: &str = "\
nv_inference_request_success{model=\"ensemble\",version=\"1\"} 12
nv_inference_request_failure{model=\"ensemble\",reason=\"OTHER\",version=\"1\"} 1
nv_inference_pending_request_count{model=\"ensemble\",version=\"1\"} 9
nv_trt_llm_request_metrics{model=\"tensorrt_llm\",request_type=\"waiting\",version=\"1\"} 2
nv_trt_llm_request_metrics{model=\"tensorrt_llm\",request_type=\"scheduled\",version=\"1\"} 5
nv_trt_llm_request_metrics{model=\"tensorrt_llm\",request_type=\"max\",version=\"1\"} 512
nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type=\"tokens_per\",model=\"tensorrt_llm\",version=\"1\"} 64
nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type=\"fraction\",model=\"tensorrt_llm\",version=\"1\"} 0.4875
nv_gpu_utilization{gpu_uuid=\"GPU-1\"} 0.82
nv_gpu_memory_used_bytes{gpu_uuid=\"GPU-1\"} 30
nv_gpu_memory_total_bytes{gpu_uuid=\"GPU-1\"} 120
nv_gpu_power_usage{gpu_uuid=\"GPU-1\"} 310.5
";

const LLAMA_CPP: &str = "\
llamacpp:prompt_tokens_total 100
llamacpp:tokens_predicted_total 39080
llamacpp:requests_processing 2
llamacpp:requests_deferred 5
";

const GIE: &str = "\
inference_extension_scheduler_attempts_total{pod_name=\"p-0-rank-0\",status=\"success\"} 7
inference_extension_scheduler_attempts_total{pod_name=\"\",status=\"failure\"} 2
inference_extension_flow_control_queue_size{priority=\"-10\"} 60
inference_extension_flow_control_queue_size{priority=\"10\"} 30
inference_extension_flow_control_pool_saturation{inference_pool=\"p\"} 1.2
inference_objective_running_requests{model_name=\"m\"} 11
inference_objective_request_error_total{error_code=\"x\",model_name=\"m\"} 4
inference_pool_ready_pods{name=\"p\"} 3
inference_pool_average_queue_size{name=\"p\"} 2.5
inference_pool_average_kv_cache_utilization{name=\"p\"} 0.75
";

const DCGM: &str = "\
DCGM_FI_DEV_GPU_UTIL{gpu=\"0\",UUID=\"GPU-a\",device=\"nvidia0\",Hostname=\"n\"} 75
DCGM_FI_DEV_GPU_UTIL{gpu=\"1\",UUID=\"GPU-b\",device=\"nvidia1\",Hostname=\"n\"} 5
DCGM_FI_DEV_FB_FREE{gpu=\"0\",Hostname=\"n\"} 2000
DCGM_FI_DEV_FB_USED{gpu=\"0\",Hostname=\"n\"} 6000
DCGM_FI_DEV_POWER_USAGE{gpu=\"0\",Hostname=\"n\"} 301.5
DCGM_FI_DEV_GPU_TEMP{gpu=\"0\",GPU_I_ID=\"3\",Hostname=\"n\"} 61
";

fn figures(text: &str) -> Vec<(Metric, Value)> {
    let reading = parse(text).0.into_iter();
    reading
        .map(|((metric, device), value)| {
            assert_eq!(device, None);
            (metric, value)
        })
        .collect()
}

#[test]
fn a_page_of_vllm_has_its_figures_over_all_engines_and_old_names_do_not_count_beside_new_ones() {
    let wanted = [
        (Metric::Queue, Value::Gauge(4.0)),
        (Metric::Running, Value::Gauge(14.0)),
        (Metric::KvUse, Value::Gauge(0.375)),
        (Metric::PrefixHits, Value::Share(400.0, 1000.0)),
        (Metric::Preemptions, Value::Counter(2.0)),
        (Metric::PromptTokens, Value::Counter(70.0)),
        (Metric::OutputTokens, Value::Counter(90.0)),
        (Metric::Served, Value::Counter(9.0)),
    ];
    assert_eq!(figures(VLLM), wanted);
    // Before v0.8, and llm-d-inference-sim until v0.4.
    let old = "vllm:gpu_cache_usage_perc{model_name=\"m\"} 0.9\n\
               vllm:gpu_prefix_cache_queries_total 10\nvllm:gpu_prefix_cache_hits_total 4\n";
    let wanted = [
        (Metric::KvUse, Value::Gauge(0.9)),
        (Metric::PrefixHits, Value::Share(4.0, 10.0)),
    ];
    assert_eq!(figures(old), wanted);
}

#[test]
fn a_page_of_each_other_model_server_has_its_figures() {
    let sglang = [
        (Metric::Queue, Value::Gauge(4.0)),
        (Metric::Running, Value::Gauge(8.0)),
        (Metric::KvUse, Value::Gauge(0.52)),
        (Metric::PrefixHits, Value::Gauge(0.28)),
        (Metric::Preemptions, Value::Counter(48.0)),
        (Metric::PromptTokens, Value::Counter(1000.0)),
        (Metric::OutputTokens, Value::Counter(2000.0)),
        (Metric::Served, Value::Counter(20.0)),
    ];
    assert_eq!(figures(SGLANG), sglang);
    let tgi = [
        (Metric::Queue, Value::Gauge(7.0)),
        (Metric::Running, Value::Gauge(4.0)),
        (Metric::PromptTokens, Value::Counter(511.0)),
        (Metric::OutputTokens, Value::Counter(8123.0)),
        (Metric::Served, Value::Counter(44.0)),
        (Metric::Refused, Value::Counter(3.0)),
    ];
    assert_eq!(figures(TGI), tgi);
    let llama_cpp = [
        (Metric::Queue, Value::Gauge(5.0)),
        (Metric::Running, Value::Gauge(2.0)),
        (Metric::PromptTokens, Value::Counter(100.0)),
        (Metric::OutputTokens, Value::Counter(39080.0)),
    ];
    assert_eq!(figures(LLAMA_CPP), llama_cpp);
}

#[test]
fn a_page_of_triton_has_its_figures_and_those_of_its_gpus() {
    let reading = parse(TRITON).0;
    let gpu = || Some("gpu GPU-1".to_owned());
    let wanted = BTreeMap::from([
        ((Metric::Queue, None), Value::Gauge(2.0)),
        ((Metric::Running, None), Value::Gauge(5.0)),
        ((Metric::KvUse, None), Value::Gauge(0.4875)),
        ((Metric::Served, None), Value::Counter(12.0)),
        ((Metric::Refused, None), Value::Counter(1.0)),
        ((Metric::GpuUse, gpu()), Value::Gauge(0.82)),
        ((Metric::GpuMemoryUse, gpu()), Value::Gauge(0.25)),
        ((Metric::GpuPower, gpu()), Value::Gauge(310.5)),
    ]);
    assert_eq!(reading, wanted);
}

#[test]
fn a_page_of_a_picker_has_its_figures_by_either_name() {
    let wanted = [
        (Metric::Queue, Value::Gauge(90.0)),
        (Metric::Running, Value::Gauge(11.0)),
        (Metric::Refused, Value::Counter(4.0)),
        (Metric::Picks, Value::Counter(7.0)),
        (Metric::Saturation, Value::Gauge(1.2)),
        (Metric::ReadyEndpoints, Value::Gauge(3.0)),
        (Metric::MeanQueue, Value::Gauge(2.5)),
        (Metric::MeanKvUse, Value::Gauge(0.75)),
    ];
    assert_eq!(figures(GIE), wanted);
    let llm_d = GIE
        .replace(
            "inference_objective_running_requests",
            "llm_d_epp_request_running",
        )
        .replace("inference_pool_ready_pods", "llm_d_epp_ready_endpoints")
        .replace("inference_extension_", "llm_d_epp_")
        .replace("inference_objective_", "llm_d_epp_")
        .replace("inference_pool_", "llm_d_epp_");
    assert_eq!(figures(&llm_d), wanted);
    // llm-d-router exports both, of which one counts.
    assert_eq!(figures(&(GIE.to_owned() + &llm_d)), wanted);
}

#[test]
fn a_page_of_dcgm_has_each_gpu() {
    let reading = parse(DCGM).0;
    let gpu = |name: &str| Some(name.to_owned());
    let wanted = BTreeMap::from([
        ((Metric::GpuUse, gpu("n gpu 0")), Value::Gauge(0.75)),
        ((Metric::GpuUse, gpu("n gpu 1")), Value::Gauge(0.05)),
        ((Metric::GpuMemoryUse, gpu("n gpu 0")), Value::Gauge(0.75)),
        ((Metric::GpuPower, gpu("n gpu 0")), Value::Gauge(301.5)),
        (
            (Metric::GpuTemperature, gpu("n gpu 0/3")),
            Value::Gauge(61.0),
        ),
    ]);
    assert_eq!(reading, wanted);
}

#[test]
fn values_that_are_no_numbers_are_no_figures() {
    let text = "vllm:num_requests_waiting NaN\nvllm:num_requests_running +Inf\n\
                vllm:kv_cache_usage_perc x\ntgi_queue_size\n<html>404</html>\n\
                DCGM_FI_DEV_FB_USED{gpu=\"0\"} 0\nDCGM_FI_DEV_FB_FREE{gpu=\"0\"} 0\n";
    assert_eq!(parse(text), Reading::default());
}

#[test]
fn a_page_that_invents_devices_has_a_limited_number_of_them() {
    let lines = (0..100_000).map(|number| {
        format!(
            "DCGM_FI_DEV_GPU_UTIL{{gpu=\"{number}{}\"}} 1\n",
            "x".repeat(200)
        )
    });
    let reading = parse(&lines.collect::<String>());
    assert_eq!(reading.0.len(), DEVICES_MAX);
    let longest = reading.0.keys().filter_map(|(_, device)| device.as_ref());
    assert!(longest.map(|it| it.chars().count()).max() <= Some(DEVICE_CHARS_MAX));
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_page_that_is_cut_anywhere_has_some_of_the_figures(cut in 0_usize..3000, which in 0_usize..7) {
        let pages = [VLLM, SGLANG, TGI, TRITON, LLAMA_CPP, GIE, DCGM];
        let page = pages[which];
        let whole = parse(page).0;
        let cut = &page[..cut.min(page.len())];
        for key in parse(cut).0.keys() {
            prop_assert!(whole.contains_key(key), "{:?}", key);
        }
    }
}
